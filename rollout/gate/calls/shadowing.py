"""Runs beside control, in the pool of the rollout: the candidate in SHADOW_MODE, its probe in DARK_MODE.

The run knows whether control failed. If both arms raised, neither error counts, so control's is counted only after the
candidate has run, or if the candidate cannot run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rollout.decisions.stages import Arm
from rollout.gate.calls.answers import Answer, Raised, answer_of
from rollout.gate.calls.call import Call, ms_since
from rollout.gate.calls.comparison import compare, equal, keep
from rollout.gate.mismatches import record_mismatch
from rollout.gate.running.pool import Pool, Run


@dataclass(frozen=True, slots=True)
class Expected:
    """Control's outcome, which the candidate's is compared with.

    restore: returns control's value as it was before the caller got it; None if control failed, or its value could not
        be copied.
    control_ms: the time until control failed; None if it answered.
    """

    restore: Callable[[], Any] | None = None
    version: Any = None
    control_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CandidateOutcome:
    """The candidate's outcome: an answer, or None if it failed. ms: the time that it took."""

    answer: Answer | None
    ms: float


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """The result of comparing. `values` are control's and the candidate's if they differ."""

    is_same: bool | None = None
    has_failed: bool = False
    values: tuple[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """The functions that begin a run beside control: in a thread, or as a task of an event loop.

    candidate: takes the call, control's answer (None if it failed) and the time in ms until it failed (else None).
    probe: takes the call and the probe.
    """

    candidate: Callable[[Call, Answer | None, float | None], None]
    probe: Callable[[Call, Callable[[], Any]], None]


def control_answered(call: Call, answer: Answer, ms: float, beside: Beside) -> None:
    """Count control's answer, and begin the run beside it."""
    if not answer.is_counted:
        return
    call.count(Arm.CONTROL, ms, answer)
    if call.state.serving.probes and call.probe is not None:
        beside.probe(call, call.probe)
    if call.state.serving.shadows:
        beside.candidate(call, answer, None)


def control_raised(call: Call, error: BaseException, ms: float, beside: Beside) -> None:
    """Count the exception of control, or leave that to the run of the candidate: if it fails too, neither counts.

    ms: the time until control raised it.
    """
    if call.is_answer(error):
        call.count(Arm.CONTROL, ms)
        if call.state.serving.shadows:
            beside.candidate(call, Answer(Raised(type(error), error.args)), None)
    elif call.state.serving.shadows and isinstance(error, Exception):
        beside.candidate(call, None, ms)
    else:
        call.count(Arm.CONTROL, ms, is_error=True)


def begin_candidate(call: Call, answer: Answer | None, control_ms: float | None) -> None:
    """Run the candidate in a thread of the pool, compare it with control's answer, and count the run.

    answer: control's; None if it failed.
    control_ms: the time until control failed; None if it answered.
    """
    pool = call.runtime.pool_of(call.rollout)
    reserved = reserve_candidate(call, pool, answer, control_ms)
    if reserved is None:
        return
    run, expected = reserved
    if not pool.begin(run, partial(_run_candidate, call, pool, expected)):
        count_control(call, expected)


def reserve_candidate(
    call: Call, pool: Pool, answer: Answer | None, control_ms: float | None
) -> tuple[Run, Expected] | None:
    """Return a run that has a place, and a copy of control's outcome; None if there is no place."""
    expected = Expected(version=answer.version if answer else None, control_ms=control_ms)
    run = pool.reserve(on_abandoned=partial(_count_abandoned, call, expected))
    if run is None:
        count_control(call, expected)
        return None
    if answer is None:
        return run, expected
    try:
        return run, replace(expected, restore=keep(answer.value, call.copy))
    except Exception:  # pickle raises many types; the candidate runs all the same, and is not compared
        return run, expected
    except BaseException:
        pool.release(run)
        raise


def count_control(call: Call, expected: Expected) -> None:
    """Count the failure of control, if it failed."""
    if expected.control_ms is not None:
        call.count(Arm.CONTROL, expected.control_ms, is_error=True)


def report(call: Call, expected: Expected, outcome: CandidateOutcome, comparison: ComparisonResult) -> None:
    """Count a run of the candidate that ended in time."""
    answer = outcome.answer
    if answer is None:
        if expected.control_ms is None:
            call.count(Arm.CANDIDATE, outcome.ms, is_error=True)
    elif answer.is_counted:
        count_control(call, expected)
        call.count(
            Arm.CANDIDATE,
            outcome.ms,
            answer,
            is_same=comparison.is_same,
            has_compare_failed=comparison.has_failed,
        )


def compare_with(call: Call, expected: Expected, answer: Answer | None) -> ComparisonResult:
    """Compare the candidate's answer with control's. Raises nothing but KeyboardInterrupt.

    Values that differ from their own copies, such as a response or a queryset, cannot be compared with ==.
    """
    if answer is None or not answer.is_counted or expected.control_ms is not None:
        return ComparisonResult()
    if expected.restore is None:
        return ComparisonResult(has_failed=True)
    try:
        is_raised = isinstance(answer.value, Raised)
        if not is_raised and bool(answer.version != expected.version):
            return ComparisonResult()
        control = expected.restore()
        is_same = compare(control, answer.value, call.same)
        if is_same is False and call.same is equal and not compare(control, expected.restore(), equal):
            return ComparisonResult(has_failed=True)
    except KeyboardInterrupt:
        raise
    except BaseException:  # an exit would end the caller's event loop, in which asynchronous code compares
        return ComparisonResult(has_failed=True)
    return ComparisonResult(is_same, values=None if is_same is not False else (control, answer.value))


def failed(call: Call, error: BaseException) -> Answer | None:
    """Return the candidate's exception as an answer if it is one. Otherwise log it, and return None."""
    if call.is_answer(error):
        return Answer(Raised(type(error), error.args))
    call.log_failure(error)
    return None


def _count_abandoned(call: Call, expected: Expected) -> None:
    call.count_overdue()
    count_control(call, expected)


def _run_candidate(call: Call, pool: Pool, expected: Expected, run: Run) -> None:
    start = time.perf_counter()
    answer: Answer | None
    try:
        answer = answer_of(call.candidate())
    except BaseException as error:  # nothing outside this thread would learn of it
        answer = failed(call, error)
    outcome = CandidateOutcome(answer, ms_since(start))
    comparison = compare_with(call, expected, answer)
    if pool.may_report(run):
        report(call, expected, outcome, comparison)
        if comparison.values is not None:
            record_mismatch(call.rollout, *comparison.values)


def begin_probe(call: Call, probe: Callable[[], Any]) -> None:
    """Call the probe in a thread of the pool, and count whether the candidate's cache has the value."""
    pool = call.runtime.pool_of(call.rollout)
    run = pool.reserve(on_abandoned=call.count_overdue)
    if run is not None:
        pool.begin(run, partial(_run_probe, call, pool, probe))


def _run_probe(call: Call, pool: Pool, probe: Callable[[], Any], run: Run) -> None:
    start = time.perf_counter()
    is_hit, is_error = False, True
    try:
        is_hit, is_error = answer_of(probe()).value, False
    except BaseException as error:  # nothing outside this thread would learn of it, and it is counted
        call.log_failure(error)
    report_probe(call, pool, run, is_hit, ms_since(start), is_error=is_error)


def report_probe(call: Call, pool: Pool, run: Run, is_hit: bool | None, ms: float, *, is_error: bool) -> None:
    """Count a probe that ended in time.

    is_hit: None if no cache was looked up.
    """
    if pool.may_report(run):
        call.count(Arm.CANDIDATE, ms, is_error=is_error, is_hit=is_hit)


THREADS = Beside(begin_candidate, begin_probe)
