"""A call of a gate, with everything that its functions need."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.decisions.stages import Arm
from rollout.gate.calls.answers import Answer, Function
from rollout.gate.calls.comparison import Copy, Same
from rollout.gate.calls.observations import count_observation
from rollout.gate.running.pool import LIMIT_SECONDS
from rollout.gate.runtime import GateRuntime
from rollout.gate.state import RolloutState


@dataclass(slots=True)
class Call:
    """A call of a gate whose rollout is known.

    state: the state that the arm was decided by.
    answers: the exceptions that are answers.
    """

    rollout: str
    runtime: GateRuntime
    state: RolloutState
    key: str
    control: Function
    candidate: Function
    probe: Callable[[], Any] | None
    same: Same
    copy: Copy | None
    answers: tuple[type[BaseException], ...]

    def count(
        self,
        arm: Arm,
        ms: float,
        answer: Answer | None = None,
        *,
        is_error: bool = False,
        is_hit: bool | None = None,
        is_same: bool | None = None,
        has_compare_failed: bool = False,
    ) -> None:
        """Count one call of an arm.

        answer: the arm's, if it returned one.
        """
        metrics = None
        if answer is not None:
            is_hit, metrics = answer.is_hit, answer.metrics
        count_observation(
            self.runtime.counters,
            self.rollout,
            self.state.visit,
            arm,
            ms,
            is_error,
            is_hit,
            is_same,
            self.key,
            metrics,
            is_alone=arm is Arm.CONTROL and self.state.serving.probes and self.probe is None,
            has_compare_failed=has_compare_failed,
        )

    def count_overdue(self) -> None:
        """Count a candidate that has not returned within its limit as an error."""
        self.log_failure(TimeoutError(f"it took longer than {LIMIT_SECONDS:g} s"))
        self.count(Arm.CANDIDATE, LIMIT_SECONDS * 1000, is_error=True)

    def count_fallback(self, answer: Answer, ms: float) -> None:
        """Count the candidate's error, after which control answered.

        ms: the time until the candidate failed.
        """
        if answer.is_counted:  # else there was nothing to answer, and the candidate was right to fail
            self.count(Arm.CANDIDATE, ms, is_error=True)

    def log_failure(self, error: BaseException) -> None:
        """Log why the candidate or its probe failed: the caller gets control's answer, and never sees the exception."""
        self.runtime.failures.add(self.rollout, self.state.visit.id, error)

    def is_answer(self, error: BaseException) -> bool:
        """Return whether the exception is an answer to the caller, as a 404 is."""
        return isinstance(error, self.answers)


def ms_since(start: float) -> float:
    """Return the milliseconds since this value of time.perf_counter()."""
    return (time.perf_counter() - start) * 1000
