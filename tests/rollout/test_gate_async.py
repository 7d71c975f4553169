"""The gate of asynchronous code: the same decisions and counts, as tasks of the caller's event loop."""

import asyncio
import contextvars
import gc
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.http import Http404
from django.utils import translation

from rollout.choices import Stage
from rollout.gate import Gate, mismatches, runtime
from rollout.models import Rollout
from tests.conftest import committed
from tests.processes import until
from tests.rollout.gate_world import IN, NAME, OUT, World, exits, fails

pytestmark = pytest.mark.django_db
REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


@pytest.fixture
def world() -> World:
    world = World(limit_seconds=10.0)
    world.never_trips()
    return world


async def control() -> str:
    await asyncio.sleep(0)
    return "control"


async def candidate() -> str:
    await asyncio.sleep(0)
    return "candidate"


async def fails_late() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError


async def not_found() -> None:
    raise Http404


def ask(world: World, key: str = IN, **options: Any) -> Any:
    """Return what the gate answers, after the tasks beside it ended."""

    async def run() -> Any:
        try:
            return await world.gate.arun(key, **({"control": control, "candidate": candidate} | options))
        finally:
            await finish()

    return asyncio.run(run())


async def finish() -> None:
    """Wait for the other tasks of this event loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize(
    ("stage", "for_in", "for_out", "figures"),
    [
        (Stage.DISABLED, "control", "control", {"control": 2}),
        (Stage.DARK_MODE, "control", "control", {"control": 2}),
        (
            Stage.SHADOW_MODE,
            "control",
            "control",
            {"control": 2, "candidate": 2, "compared": 2, "mismatches": 2},
        ),
        (Stage.PARTIAL_ACTIVE, "candidate", "control", {"control": 1, "candidate": 1}),
        (Stage.FULL_ACTIVE, "candidate", "candidate", {"candidate": 2}),
    ],
)
def test_each_stage_serves_its_arms(
    world: World, stage: Stage, for_in: str, for_out: str, figures: dict[str, int]
) -> None:
    world.at(stage)
    assert [ask(world, key) for key in (IN, OUT)] == [for_in, for_out]
    assert world.figures() == figures


def test_an_unknown_rollout_answers_control(world: World) -> None:
    assert ask(world) == "control"
    with pytest.raises(ZeroDivisionError):
        ask(world, control=fails)


def awaitable() -> Awaitable[str]:
    return candidate()


@pytest.mark.parametrize("late", [awaitable, lambda: "candidate"])
def test_a_plain_function_may_return_a_value_or_an_awaitable(world: World, late: Callable[[], Any]) -> None:
    world.at(Stage.FULL_ACTIVE)
    assert ask(world, candidate=late) == "candidate"


@pytest.mark.parametrize("failing", [fails, fails_late])
def test_control_answers_for_a_candidate_that_fails(world: World, failing: Callable[[], Any]) -> None:
    world.at(Stage.FULL_ACTIVE)
    assert ask(world, candidate=failing) == "control"
    assert world.figures() == {"candidate": 1, "candidate errors": 1}


@pytest.mark.parametrize("stage", [Stage.SHADOW_MODE, Stage.FULL_ACTIVE])
def test_an_error_that_both_arms_raise_counts_against_neither(world: World, stage: Stage) -> None:
    world.at(stage)
    with pytest.raises(ZeroDivisionError):
        ask(world, control=fails_late, candidate=fails_late)
    assert world.figures() == {}


def test_an_error_of_control_alone_counts(world: World) -> None:
    world.at(Stage.SHADOW_MODE)
    with pytest.raises(ZeroDivisionError):
        ask(world, control=fails_late)
    assert world.figures() == {"control": 1, "control errors": 1, "candidate": 1}


def test_an_exception_that_is_an_answer_is_no_error(world: World) -> None:
    for stage, figures in (
        (Stage.FULL_ACTIVE, {"candidate": 1}),
        (Stage.SHADOW_MODE, {"control": 1, "candidate": 2, "compared": 1}),
    ):
        world.at(stage)
        with pytest.raises(Http404):
            ask(world, control=not_found, candidate=not_found, answers=(Http404,))
        assert world.figures() == figures


def test_a_probe_is_a_task(world: World) -> None:
    async def probe() -> bool:
        await asyncio.sleep(0)
        return True

    world.at(Stage.DARK_MODE)
    for each in (probe, fails_late, lambda: False, lambda: None):
        assert ask(world, probe=each) == "control"
    assert world.figures() == {"control": 4, "candidate": 4, "candidate errors": 1}


@pytest.mark.parametrize("stage", [Stage.DARK_MODE, Stage.SHADOW_MODE])
def test_a_run_beside_control_delays_no_answer_and_is_abandoned(stage: Stage) -> None:
    world = World()
    world.never_trips()
    world.at(stage)

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        for _ in range(5):
            assert await world.gate.arun(IN, control=control, candidate=hangs, probe=hangs) == "control"
        assert (world.pool.running, world.pool.skipped) == (4, 1)
        gc.collect()  # the event loop holds its tasks weakly
        while world.pool.running or world.pool.abandoned:
            world.pool.abandon_overdue()
            await asyncio.sleep(0.02)

    asyncio.run(run())
    assert world.figures() == {"control": 5, "candidate": 4, "candidate errors": 4}


@pytest.mark.parametrize("stage", [Stage.SHADOW_MODE, Stage.FULL_ACTIVE])
def test_a_cancellation_of_the_caller_propagates_and_counts_as_nothing(world: World, stage: Stage) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await world.gate.arun(IN, control=hangs, candidate=hangs)

    world.at(stage)
    asyncio.run(run())
    assert (world.figures(), world.pool.running) == ({}, 0)


def test_a_candidate_that_awaits_what_was_cancelled_has_failed(world: World) -> None:
    async def cancelled() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    world.at(Stage.FULL_ACTIVE)
    assert ask(world, candidate=cancelled) == "control"
    assert world.figures() == {"candidate": 1, "candidate errors": 1}


def test_the_end_of_the_event_loop_ends_the_runs_and_counts_as_nothing(world: World) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    world.at(Stage.SHADOW_MODE)
    asyncio.run(world.gate.arun(IN, control=control, candidate=hangs))
    assert (world.figures(), world.pool.running) == ({"control": 1}, 0)


def test_an_event_loop_that_was_closed_early_keeps_no_place() -> None:
    world = World(limit_seconds=0.01)
    world.at(Stage.SHADOW_MODE)
    loop = asyncio.new_event_loop()

    async def hangs() -> None:
        await asyncio.Event().wait()

    loop.run_until_complete(world.gate.arun(IN, control=control, candidate=hangs))
    tasks = asyncio.all_tasks(loop)
    loop.close()

    def is_free() -> bool:
        world.pool.abandon_overdue()
        return not world.pool.running

    assert until(is_free)
    assert (world.pool.abandoned, world.figures()) == (0, {"control": 1})
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # the test has closed the loop on purpose


def test_the_candidate_runs_in_the_circumstances_of_its_request(world: World) -> None:
    async def circumstances() -> tuple[str, str | None, str | None]:
        return REQUEST.get(), translation.get_language(), await sync_to_async(translation.get_language)()

    async def run() -> None:
        REQUEST.set("request 7")
        with translation.override("de"):
            await world.gate.arun(IN, control=circumstances, candidate=circumstances)
        REQUEST.set("request 8")
        await finish()

    world.at(Stage.SHADOW_MODE)
    asyncio.run(run())
    assert world.figures() == {"control": 1, "candidate": 1, "compared": 1}


def test_a_comparison_that_exits_does_not_end_the_event_loop(world: World) -> None:
    world.at(Stage.SHADOW_MODE)
    assert ask(world, same=lambda one, other: exits()) == "control"
    assert world.figures() == {"control": 1, "candidate": 1}


def test_a_mismatch_is_reported(world: World) -> None:
    world.at(Stage.SHADOW_MODE)
    ask(world)
    assert until(lambda: mismatches.read_mismatches(NAME) == [("'control'", "'candidate'")])


@committed
def test_a_candidate_beside_control_has_a_thread_and_a_connection_of_its_own(world: World) -> None:
    threads: list[threading.Thread] = []

    def count() -> int:
        threads.append(threading.current_thread())
        return Rollout.objects.count()

    async def counts() -> int:
        return await sync_to_async(count)()

    world.at(Stage.SHADOW_MODE)
    connection.close()
    assert ask(world, control=counts, candidate=counts) == 1
    assert world.figures() == {"control": 1, "candidate": 1, "compared": 1}
    assert threads[0] is not threads[1]
    assert until(lambda: not threads[1].is_alive())


def test_a_database_error_leaves_the_transaction_of_the_synchronous_caller_usable(world: World) -> None:
    @sync_to_async
    def breaks_query() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing")

    async def count() -> int:
        return await sync_to_async(Rollout.objects.count)()

    world.at(Stage.FULL_ACTIVE)
    with transaction.atomic():
        assert async_to_sync(world.gate.arun)(IN, control=count, candidate=breaks_query) == 1
    assert world.figures() == {"candidate": 1, "candidate errors": 1}


@pytest.mark.parametrize("role", ["control", "candidate", "probe"])
def test_a_generator_function_is_refused(world: World, role: str) -> None:
    async def generator() -> Any:
        yield "late"

    functions: dict[str, Any] = {"control": control, "candidate": candidate, "probe": None}
    with pytest.raises(TypeError, match="list"):
        ask(world, **(functions | {role: generator}))


def test_many_callers_at_once_are_each_answered(world: World) -> None:
    async def run() -> list[Any]:
        calls: list[Awaitable[Any]] = [
            world.gate.arun(f"user-{number}", control=control, candidate=control) for number in range(200)
        ]
        answers = await asyncio.gather(*calls)
        await finish()
        return answers

    world.at(Stage.PARTIAL_ACTIVE, percent=50)
    assert asyncio.run(run()) == ["control"] * 200
    figures = world.figures()
    assert figures["control"] + figures["candidate"] == 200


def test_the_first_call_of_a_process_starts_its_threads_beside_the_event_loop() -> None:
    def start() -> Any:
        threads.append(threading.current_thread())
        return World().process

    threads: list[threading.Thread] = []

    runtime.shared.reset()
    assert asyncio.run(Gate(NAME, start).arun(IN, control=control, candidate=candidate)) == "control"
    assert threads[0] is not threading.main_thread()
