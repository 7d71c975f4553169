"""The gate that application code calls: `gate("derived-data").run(key, control=..., candidate=...)`.

The arm that serves a targeting key is decided from this process's states of the rollouts alone. If the candidate fails,
control answers; the failure counts unless control fails too. Control's calls are counted too, because the candidate is
compared with them.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from rollout.decisions.stages import Arm
from rollout.gate import runtime
from rollout.gate.bucketing import bucket
from rollout.gate.calls import asynchronous, serving
from rollout.gate.calls.answers import Answer, Function, answer_of, check_answers, refuse_unguarded
from rollout.gate.calls.call import Call
from rollout.gate.calls.comparison import Copy, Same, equal, pickled
from rollout.gate.calls.observations import Metrics, count_observation
from rollout.gate.forced import FORCED
from rollout.gate.runtime import GateRuntime
from rollout.gate.state import RolloutState

__all__ = ["Answer", "Gate", "gate", "note_decisions_with"]


class Gate:
    """The gate of one rollout. Threads share it, and it can be kept: a fork uses its own process's states and counts.

    runtime: returns the runtime of this process.
    """

    __slots__ = ("_runtime", "name")

    def __init__(self, name: str, runtime: Callable[[], GateRuntime] = runtime.shared) -> None:
        self.name, self._runtime = name, runtime

    def state(self) -> RolloutState:
        """Return the rollout's state and what it serves now.

        While the control loop is blind, that is the stage last known, serving control.
        """
        states = self._runtime().states
        return states.find(self.name) or states.last_known(self.name)

    def decide(self, key: str) -> Arm:
        """Return the arm that serves this targeting key."""
        if FORCED and self.name in FORCED:
            return FORCED[self.name][-1]
        state = self._runtime().states.find(self.name)
        arm = Arm.CONTROL if state is None or not state.serving.percent else state.serving.arm(bucket(self.name, key))
        if _note is not None:
            _note(self, state, arm)
        return arm

    def run(
        self,
        key: str,
        *,
        control: Function,
        candidate: Function,
        probe: Callable[[], bool | None] | None = None,
        same: Same = equal,
        copy: Copy | None = pickled,
        answers: tuple[type[BaseException], ...] = (),
    ) -> Any:
        """Return the value of the arm that serves the targeting key.

        control, candidate: return a value or an `Answer`. If the candidate raises, control answers. The error counts
            against the candidate, unless control raises too.
        probe: is called in DARK_MODE, in another thread. It returns whether the candidate's cache would have had the
            value, or None if no cache was looked up.
        same: compares control's and the candidate's value in SHADOW_MODE, where the candidate runs in another thread
            in addition to control. It returns a bool, an array of them, or None if the inputs of the two differed.
        copy: makes the copy of control's value that is compared, before the caller gets the value; None: the value
            itself is compared.
        answers: the exceptions that are answers, such as Http404. They are raised to the caller and are no errors.
        Raises what control raises, the exceptions in `answers`, and TypeError for a function that only returns a
        coroutine or a generator.
        """
        refuse_unguarded(control, candidate, probe)
        if answers:
            check_answers(answers)
        if FORCED and self.name in FORCED:
            return answer_of(control() if FORCED[self.name][-1] is Arm.CONTROL else candidate()).value
        process = self._runtime()
        state = process.states.find(self.name)
        arm = Arm.CONTROL if state is None or not state.serving.percent else state.serving.arm(bucket(self.name, key))
        if _note is not None:
            _note(self, state, arm)
        if state is None:
            return answer_of(control()).value
        call = Call(self.name, process, state, key, control, candidate, probe, same, copy, answers)
        return serving.serve_candidate(call) if arm is Arm.CANDIDATE else serving.serve_control(call)

    async def arun(
        self,
        key: str,
        *,
        control: Function,
        candidate: Function,
        probe: Callable[[], Any] | None = None,
        same: Same = equal,
        copy: Copy | None = pickled,
        answers: tuple[type[BaseException], ...] = (),
    ) -> Any:
        """Return the value of the arm that serves the targeting key, for asynchronous code.

        The arguments are those of `run`. The functions are called in the event loop and may be coroutine functions; the
        candidate in SHADOW_MODE and the probe are tasks of the loop. A cancellation of the caller counts as nothing.
        """
        refuse_unguarded(control, candidate, probe, is_async_allowed=True)
        if answers:
            check_answers(answers)
        if FORCED and self.name in FORCED:
            forced = control if FORCED[self.name][-1] is Arm.CONTROL else candidate
            return (await asynchronous.ask(forced)).value
        if runtime.shared.current() is None:
            await asyncio.to_thread(self._runtime)  # it starts threads, and waits for their first states
        process = self._runtime()
        state = process.states.find(self.name)
        arm = Arm.CONTROL if state is None or not state.serving.percent else state.serving.arm(bucket(self.name, key))
        if _note is not None:
            _note(self, state, arm)
        if state is None:
            return (await asynchronous.ask(control)).value
        call = Call(self.name, process, state, key, control, candidate, probe, same, copy, answers)
        serve = asynchronous.serve_candidate if arm is Arm.CANDIDATE else asynchronous.serve_control
        return await serve(call)

    def observe(
        self,
        arm: Arm,
        ms: float,
        *,
        key: str | None = None,
        is_error: bool = False,
        is_hit: bool | None = None,
        is_same: bool | None = None,
        metrics: Metrics | None = None,
        state: RolloutState | None = None,
    ) -> None:
        """Count a call of an arm that was made elsewhere. A value that cannot be counted is logged, and raises nothing.

        ms: its latency, a finite number of at least 0.
        key: the targeting key that the arm was decided for.
        is_hit: whether a cache had the value; None if no cache was looked up.
        is_same: whether the value equals control's; None if the two were not compared.
        metrics: figures of this call by name, as in `Answer`.
        state: the state that the arm was decided by; None: the present one.
        """
        if FORCED and self.name in FORCED:
            return
        process = self._runtime()
        state = state or process.states.find(self.name)
        if state is not None:
            serving = state.serving
            is_alone = arm is Arm.CONTROL and (serving.probes or serving.shadows)
            count_observation(
                process.counters,
                self.name,
                state.visit,
                arm,
                ms,
                is_error,
                is_hit,
                is_same,
                key,
                metrics,
                is_alone,
            )


Note = Callable[[Gate, RolloutState | None, Arm], None]
_note: Note | None = None


def note_decisions_with(note: Note | None) -> None:
    """Call the function with each decision of this process from now on; None: call none.

    note: takes the gate, the state (None if control is served because it is unknown, blind or too old) and the arm.
    """
    global _note  # noqa: PLW0603 - a decision takes less than a microsecond, and this is the cheapest look-up
    _note = note


def gate(name: str) -> Gate:
    """Return the gate of this rollout."""
    return Gate(name)
