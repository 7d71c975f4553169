"""The gate that application code calls: `gate("derived-data").run(key, control=..., candidate=...)`.

The arm that serves a targeting key is decided from this process's states of the rollouts alone. If the candidate fails,
the failure is counted and control answers; a failure of control is raised to the caller. Control's calls are counted
too, because the candidate is compared with them.
"""

import operator
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rollout.decisions.stages import Arm
from rollout.gate import runtime
from rollout.gate.bucketing import bucket
from rollout.gate.counters import Counters, Observation
from rollout.gate.in_flight import CallInFlight, CallsInFlight
from rollout.gate.mismatches import record_mismatch
from rollout.gate.shadow import LIMIT_SECONDS, ShadowRun, ShadowRuns
from rollout.gate.state import RolloutState, RolloutStates


class Answer(NamedTuple):
    """A value with details, which an arm may return instead of a bare value.

    is_hit: whether a cache had the value; None if no cache was looked up.
    version: the version of the input that the value was made from; only answers of the same version are compared.
    is_counted: False if the call is not to be counted, because there was nothing to answer.
    """

    value: Any
    is_hit: bool | None = None
    version: Any = None
    is_counted: bool = True


Call = Callable[[], Any]
Same = Callable[[Any, Any], bool | None]


class Gate:
    """The gate of one rollout in this process. Threads share it."""

    def __init__(
        self, name: str, states: RolloutStates, counters: Counters, shadow_runs: ShadowRuns, in_flight: CallsInFlight
    ) -> None:
        self.name = name
        self._states, self._counters = states, counters
        self._shadow_runs, self._in_flight = shadow_runs, in_flight

    def state(self) -> RolloutState:
        """Return the rollout's state and what it serves now.

        While the control loop is blind, that is the stage last known, serving control.
        """
        return self._states.find(self.name) or self._states.last_known(self.name)

    def decide(self, key: str) -> Arm:
        """Return the arm that serves this targeting key."""
        state = self._states.find(self.name)
        arm = Arm.CONTROL if state is None or not state.serving.percent else state.serving.arm(bucket(self.name, key))
        if _note is not None:
            _note(self, state, arm)
        return arm

    def run(
        self,
        key: str,
        *,
        control: Call,
        candidate: Call,
        probe: Callable[[], bool | None] | None = None,
        same: Same = operator.eq,
    ) -> Any:
        """Return the value of the arm that serves the targeting key.

        control, candidate: return a value or an `Answer`. If the candidate raises, control answers.
        probe: is called in DARK_MODE. It returns whether the candidate's cache would have had the value, or None if no
            cache was looked up.
        same: compares control's and the candidate's value in SHADOW_MODE, where the candidate runs in addition to
            control. It returns None if their inputs differed.
        """
        state = self._states.find(self.name)
        arm = Arm.CONTROL if state is None or not state.serving.percent else state.serving.arm(bucket(self.name, key))
        if _note is not None:
            _note(self, state, arm)
        if state is None:
            return _value(control())
        if arm is Arm.CANDIDATE:
            return self._serve_candidate(state, control, candidate)
        answer = self._call(state, Arm.CONTROL, control)
        if state.serving.probes and probe is not None:
            self._probe(state, probe)
        if state.serving.shadows:
            shadow = partial(self._shadow, state, answer, candidate, same)
            self._shadow_runs.submit(shadow, on_abandoned=partial(self._count_overdue, state))
        return answer.value

    def observe(
        self,
        arm: Arm,
        ms: float,
        *,
        is_error: bool = False,
        is_hit: bool | None = None,
        is_same: bool | None = None,
        state: RolloutState | None = None,
    ) -> None:
        """Count a call of an arm that was made elsewhere.

        ms: its latency.
        is_hit: whether a cache had the value; None if no cache was looked up.
        is_same: whether the value equals control's; None if the two were not compared.
        state: the state that the arm was decided by; None: the present one.
        """
        state = state or self._states.find(self.name)
        if state is not None:
            self._counters.observe(Observation(self.name, state.visit, arm, ms, is_error, is_hit, is_same))

    def _serve_candidate(self, state: RolloutState, control: Call, candidate: Call) -> Any:
        try:
            with self._in_flight.track(on_overdue=partial(self._count_overdue, state)) as call_in_flight:
                return self._call(state, Arm.CANDIDATE, candidate, call_in_flight).value
        except KeyboardInterrupt:
            raise
        except BaseException:  # SystemExit too: the caller gets an answer even if the candidate exits
            return _value(control())

    def _call(self, state: RolloutState, arm: Arm, call: Call, call_in_flight: CallInFlight | None = None) -> Answer:
        """Call an arm and count the call, unless it was counted while it hung."""
        start = time.perf_counter()
        try:
            answer, is_error = _answer(call()), False
        except BaseException:
            answer, is_error = Answer(None), True
            raise
        finally:
            is_counted_already = call_in_flight is not None and call_in_flight.is_overdue
            if answer.is_counted and not is_counted_already:
                self.observe(arm, _ms_since(start), is_error=is_error, is_hit=answer.is_hit, state=state)
        return answer

    def _probe(self, state: RolloutState, probe: Callable[[], bool | None]) -> None:
        start = time.perf_counter()
        try:
            is_hit = probe()
        except KeyboardInterrupt:
            raise
        except BaseException:  # SystemExit too: control has answered
            self.observe(Arm.CANDIDATE, _ms_since(start), is_error=True, is_hit=False, state=state)
        else:
            if is_hit is not None:
                self.observe(Arm.CANDIDATE, _ms_since(start), is_hit=is_hit, state=state)

    def _shadow(self, state: RolloutState, expected: Answer, candidate: Call, same: Same, run: ShadowRun) -> None:
        """Run the candidate in a thread of its own, compare it with control's answer, and count the run."""
        start = time.perf_counter()
        try:
            answer, is_error, ms = _answer(candidate()), False, _ms_since(start)
            is_same = same(expected.value, answer.value) if expected.version == answer.version else None
        except BaseException:  # nothing outside this thread would learn of it
            answer, is_error, is_same, ms = Answer(None), True, None, _ms_since(start)
        if run.is_abandoned or not answer.is_counted:
            return
        self.observe(Arm.CANDIDATE, ms, is_error=is_error, is_hit=answer.is_hit, is_same=is_same, state=state)
        if is_same is False:
            record_mismatch(self.name, expected.value, answer.value)

    def _count_overdue(self, state: RolloutState) -> None:
        """Count a candidate that has not returned within its limit as an error."""
        self.observe(Arm.CANDIDATE, LIMIT_SECONDS * 1000, is_error=True, state=state)


Note = Callable[[Gate, RolloutState | None, Arm], None]
_note: Note | None = None


def note_decisions_with(note: Note | None) -> None:
    """Call the function with each decision of this process from now on; None: call none.

    note: takes the gate, the state (None if control is served because it is unknown, blind or too old) and the arm.
    """
    global _note  # noqa: PLW0603 - a decision takes less than a microsecond, and this is the cheapest look-up
    _note = note


def gate(name: str) -> Gate:
    """Return the gate of this rollout in this process."""
    shared = runtime.shared()
    return Gate(name, shared.states, shared.counters, shared.shadow_runs, shared.in_flight)


def _answer(returned: Any) -> Answer:
    return returned if isinstance(returned, Answer) else Answer(returned)


def _value(returned: Any) -> Any:
    return _answer(returned).value


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
