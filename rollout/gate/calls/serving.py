"""The arm that serves: its answer reaches the caller, and control answers for a candidate that failed."""

import time
from contextlib import AbstractContextManager
from typing import Any

from rollout.decisions.stages import Arm
from rollout.gate.calls.answers import Answer, Function, answer_of
from rollout.gate.calls.call import Call, ms_since
from rollout.gate.calls.savepoints import savepoints
from rollout.gate.calls.shadowing import THREADS, control_answered, control_raised


def serve_candidate(call: Call) -> Any:
    """Return the candidate's value; if it fails, control's.

    Raises what control raises then, and the candidate's exceptions that are answers.
    """
    in_flight = call.runtime.in_flight.track(on_overdue=call.count_overdue)
    start = time.perf_counter()
    try:
        with in_flight:
            answer, ms = _run(call.candidate, savepoints(call.answers))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: the caller gets an answer even if the candidate exits
        ms = ms_since(start)
        if call.is_answer(error):
            if not in_flight.is_overdue:
                call.count(Arm.CANDIDATE, ms)
            raise
        call.log_failure(error)
    else:
        if answer.is_counted and not in_flight.is_overdue:
            call.count(Arm.CANDIDATE, ms, answer)
        return answer.value
    return _fall_back(call, ms, is_counted_already=in_flight.is_overdue)


def _fall_back(call: Call, ms: float, *, is_counted_already: bool) -> Any:
    """Return control's value. If control answers, the candidate's error counts. If it fails too, neither counts.

    ms: the time until the candidate failed.
    is_counted_already: whether the candidate took so long that its error was counted while it ran.
    """
    try:
        answer, _ = _run(call.control, savepoints((BaseException,), is_control=True))
    except BaseException as error:
        if call.is_answer(error) and not isinstance(error, KeyboardInterrupt) and not is_counted_already:
            call.count(Arm.CANDIDATE, ms, is_error=True)
        raise
    if not is_counted_already:
        call.count_fallback(answer, ms)
    return answer.value


def serve_control(call: Call) -> Any:
    """Return control's value, and let the candidate or its probe run beside it if the stage does so."""
    start = time.perf_counter()
    try:
        answer, ms = _run(call.control, savepoints((BaseException,), is_control=True))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        control_raised(call, error, ms_since(start), THREADS)
        raise
    control_answered(call, answer, ms, THREADS)
    return answer.value


def _run(function: Function, protection: AbstractContextManager[object]) -> tuple[Answer, float]:
    """Return the function's answer and the milliseconds that it took."""
    with protection:
        start = time.perf_counter()
        answer = answer_of(function())
        ms = ms_since(start)
    return answer, ms
