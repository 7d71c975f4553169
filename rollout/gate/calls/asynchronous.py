"""The same calls for asynchronous code: the arms may be coroutine functions, and runs beside control are tasks."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from asgiref.sync import AsyncToSync, ThreadSensitiveContext, sync_to_async
from django.db import connections

from rollout.decisions.stages import Arm
from rollout.gate.calls import shadowing
from rollout.gate.calls.answers import Answer, Function, answer_of, is_awaitable
from rollout.gate.calls.call import Call, ms_since
from rollout.gate.calls.savepoints import Exceptions, savepoints
from rollout.gate.calls.shadowing import Beside, CandidateOutcome, Expected
from rollout.gate.mismatches import record_mismatch
from rollout.gate.running.connections import open_aliases, prepare
from rollout.gate.running.pool import Pool, Run

_tasks: set[asyncio.Task[None]] = set()  # an event loop holds its tasks weakly only


async def ask(function: Function) -> Answer:
    """Return the answer of a function that may be asynchronous."""
    returned = function()
    if is_awaitable(returned):
        returned = await returned
    return answer_of(returned)


async def serve_candidate(call: Call) -> Any:
    """Return the candidate's value; if it fails, control's. A cancellation of the caller counts as nothing."""
    in_flight = call.runtime.in_flight.track(on_overdue=call.count_overdue)
    start = time.perf_counter()
    try:
        with in_flight:
            answer, ms = await _run(call.candidate, call.answers)
    except BaseException as error:
        ms = ms_since(start)
        if _ends_caller(error):
            raise
        if call.is_answer(error):
            if not in_flight.is_overdue:
                call.count(Arm.CANDIDATE, ms)
            raise
        call.log_failure(error)
    else:
        if answer.is_counted and not in_flight.is_overdue:
            call.count(Arm.CANDIDATE, ms, answer)
        return answer.value
    return await _fall_back(call, ms, is_counted_already=in_flight.is_overdue)


async def _fall_back(call: Call, ms: float, *, is_counted_already: bool) -> Any:
    """Return control's value, and count the candidate's error as `serving` does."""
    try:
        answer, _ = await _run(call.control, (BaseException,), is_control=True)
    except BaseException as error:
        if call.is_answer(error) and not _ends_caller(error) and not is_counted_already:
            call.count(Arm.CANDIDATE, ms, is_error=True)
        raise
    if not is_counted_already:
        call.count_fallback(answer, ms)
    return answer.value


async def serve_control(call: Call) -> Any:
    """Return control's value, and let the candidate or its probe run beside it if the stage does so."""
    start = time.perf_counter()
    try:
        answer, ms = await _run(call.control, (BaseException,), is_control=True)
    except BaseException as error:
        if not _ends_caller(error):
            shadowing.control_raised(call, error, ms_since(start), TASKS)
        raise
    shadowing.control_answered(call, answer, ms, TASKS)
    return answer.value


def _ends_caller(error: BaseException) -> bool:
    """Return whether the exception ends the caller's own task, and is no failure of an arm."""
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        return True
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def _run(function: Function, keeps: Exceptions, *, is_control: bool = False) -> tuple[Answer, float]:
    """Return the function's answer and the milliseconds that it took."""
    async with _savepoints(keeps, is_control=is_control):
        start = time.perf_counter()
        answer = await ask(function)
        ms = ms_since(start)
    return answer, ms


@asynccontextmanager
async def _savepoints(keeps: Exceptions, *, is_control: bool) -> AsyncIterator[None]:
    """Open savepoints in the transactions of the synchronous code that waits for this code, if there is any."""
    if getattr(AsyncToSync.executors, "current", None) is None:
        yield
        return
    protection = await sync_to_async(savepoints)(keeps, is_control=is_control)
    await sync_to_async(protection.__enter__)()
    try:
        yield
    except BaseException as error:
        await sync_to_async(protection.__exit__)(type(error), error, error.__traceback__)
        raise
    await sync_to_async(protection.__exit__)(None, None, None)


def _begin_candidate(call: Call, answer: Answer | None, control_ms: float | None) -> None:
    pool = call.runtime.pool_of(call.rollout)
    reserved = shadowing.reserve_candidate(call, pool, answer, control_ms)
    if reserved is not None:
        run, expected = reserved
        _begin(pool, run, partial(_run_candidate, call, pool, run, expected))


def _begin_probe(call: Call, probe: Callable[[], Any]) -> None:
    pool = call.runtime.pool_of(call.rollout)
    run = pool.reserve(on_abandoned=call.count_overdue)
    if run is not None:
        _begin(pool, run, partial(_run_probe, call, pool, run, probe))


TASKS = Beside(_begin_candidate, _begin_probe)


def _begin(pool: Pool, run: Run, work: Callable[[], Awaitable[None]]) -> None:
    """Begin the work of a reserved run as a task of this event loop, with a copy of the caller's context."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(_beside(pool, work), name="slipway-shadow")

    def stop() -> bool:
        """Cancel the task from another thread. Return False if its event loop is closed."""
        try:
            loop.call_soon_threadsafe(task.cancel)
        except RuntimeError:
            _tasks.discard(task)
            return False
        return True

    def end(ended: asyncio.Task[None]) -> None:
        _tasks.discard(ended)
        pool.release(run)

    run.stop = stop
    _tasks.add(task)
    task.add_done_callback(end)


class _Executor(ThreadPoolExecutor):
    """The one thread in which a run calls synchronous code, so that it neither shares nor delays the caller's."""

    is_used = False

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.is_used = True
        return super().submit(*args, **kwargs)

    def end(self, pool: Pool) -> None:
        """Close the thread's connections once it is idle, and let it end. Wait for nothing."""
        if self.is_used:
            self.submit(_close_connections, pool)
        self.shutdown(wait=False)


def _close_connections(pool: Pool) -> None:
    pool.aliases = pool.aliases | open_aliases()
    connections.close_all()


async def _beside(pool: Pool, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work with a thread of its own for synchronous code, after the caller had its turn."""
    await asyncio.sleep(0)  # an eager task would delay the caller's answer
    executor = _Executor(max_workers=1, thread_name_prefix="slipway-shadow")
    try:
        async with ThreadSensitiveContext(executor=executor):
            if pool.aliases:
                await sync_to_async(prepare)(pool.aliases)
            await work()
    finally:
        executor.end(pool)


async def _run_candidate(call: Call, pool: Pool, run: Run, expected: Expected) -> None:
    start = time.perf_counter()
    answer: Answer | None
    try:
        answer = await ask(call.candidate)
    except BaseException as error:
        if _ends_caller(error):
            raise
        answer = shadowing.failed(call, error)
    outcome = CandidateOutcome(answer, ms_since(start))
    comparison = shadowing.compare_with(call, expected, answer)
    if pool.may_report(run):
        shadowing.report(call, expected, outcome, comparison)
        if comparison.values is not None:
            await asyncio.to_thread(record_mismatch, call.rollout, *comparison.values)


async def _run_probe(call: Call, pool: Pool, run: Run, probe: Callable[[], Any]) -> None:
    start = time.perf_counter()
    is_hit, is_error = False, True
    try:
        is_hit, is_error = (await ask(probe)).value, False
    except BaseException as error:
        if _ends_caller(error):
            raise
        call.log_failure(error)
    shadowing.report_probe(call, pool, run, is_hit, ms_since(start), is_error=is_error)
