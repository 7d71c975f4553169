"""The gate that application code goes through: `gate("derived-data").run(key, control=..., candidate=...)`.

Which arm serves a targeting key is decided from this process's view of the rollout alone. A candidate that fails is
counted and answered by control; control's own failures are its caller's. Control counts too: what the candidate is
compared with.
"""

import operator
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rollout.decisions.stages import Arm
from rollout.gate import runtime
from rollout.gate.bucketing import bucket
from rollout.gate.counters import Metrics, Observed
from rollout.gate.in_flight import Flight, InFlight
from rollout.gate.mismatches import keep
from rollout.gate.shadow import LIMIT_SECONDS, Run, Shadows
from rollout.gate.view import View, Views


class Answer(NamedTuple):
    """What an arm may return in place of a bare value. is_hit: whether a cache had it; None: nothing was looked up.
    version: of the input it was made from; only answers of one version are compared. is_counted: not where there was
    nothing to answer.
    """

    value: Any
    is_hit: bool | None = None
    version: Any = None
    is_counted: bool = True


Call = Callable[[], Any]
Same = Callable[[Any, Any], bool | None]


class Gate:
    def __init__(self, name: str, views: Views, metrics: Metrics, shadows: Shadows, served: InFlight) -> None:
        self.name = name
        self._views, self._metrics, self._shadows, self._in_flight = views, metrics, shadows, served

    def view(self) -> View:
        """Where the rollout stands and what it serves now; control, at the stage last known, while nobody can tell."""
        return self._views.get(self.name) or self._views.blind(self.name)

    def decide(self, key: str) -> Arm:
        """The arm that serves this targeting key."""
        view = self._views.get(self.name)
        if view is None or not view.serves.percent:
            return Arm.CONTROL
        return view.serves.arm(bucket(self.name, key))

    def run(
        self,
        key: str,
        *,
        control: Call,
        candidate: Call,
        probe: Callable[[], bool | None] | None = None,
        same: Same = operator.eq,
    ) -> Any:
        """The value of the arm that serves the key. In dark mode `probe` tells whether the candidate's cache would have
        had it; in shadow mode the candidate runs beside control, and `same` compares their values. Either may answer
        None: nothing was looked up, or inputs differed.
        """
        view = self._views.get(self.name)
        if view is None:
            return _value(control())
        if view.serves.percent and view.serves.arm(bucket(self.name, key)) is Arm.CANDIDATE:
            return self._served(view, control, candidate)
        answer = self._timed(view, Arm.CONTROL, control)
        if view.serves.probes and probe is not None:
            self._probe(view, probe)
        if view.serves.shadows:
            overdue = partial(self.observe, Arm.CANDIDATE, LIMIT_SECONDS * 1000, is_error=True, view=view)
            self._shadows.submit(partial(self._shadow, view, answer, candidate, same), overdue)
        return answer.value

    def observe(
        self,
        arm: Arm,
        ms: float,
        *,
        is_error: bool = False,
        is_hit: bool | None = None,
        is_same: bool | None = None,
        view: View | None = None,
    ) -> None:
        """Count a call that was made elsewhere, as of this moment's view."""
        view = view or self._views.get(self.name)
        if view is not None:
            self._metrics.observe(Observed(self.name, view.visit.epoch, arm, ms, is_error, is_hit, is_same))

    def _served(self, view: View, control: Call, candidate: Call) -> Any:
        overdue = partial(self.observe, Arm.CANDIDATE, LIMIT_SECONDS * 1000, is_error=True, view=view)
        try:
            with self._in_flight.watched(overdue) as flight:
                return self._timed(view, Arm.CANDIDATE, candidate, flight).value
        except KeyboardInterrupt:
            raise
        except BaseException:  # SystemExit too: whatever the candidate does, there is an answer
            return _value(control())

    def _timed(self, view: View, arm: Arm, call: Call, flight: Flight | None = None) -> Answer:
        start = time.perf_counter()
        try:
            answer, is_error = _answer(call()), False
        except BaseException:
            answer, is_error = Answer(None), True
            raise
        finally:
            if answer.is_counted and not (flight and flight.is_overdue):
                ms = (time.perf_counter() - start) * 1000
                self.observe(arm, ms, is_error=is_error, is_hit=answer.is_hit, view=view)
        return answer

    def _probe(self, view: View, probe: Callable[[], bool | None]) -> None:
        start = time.perf_counter()
        try:
            is_hit = probe()
        except KeyboardInterrupt:
            raise
        except BaseException:  # SystemExit too: control has answered
            self.observe(Arm.CANDIDATE, (time.perf_counter() - start) * 1000, is_error=True, is_hit=False, view=view)
        else:
            if is_hit is not None:
                self.observe(Arm.CANDIDATE, (time.perf_counter() - start) * 1000, is_hit=is_hit, view=view)

    def _shadow(self, view: View, expected: Answer, candidate: Call, same: Same, run: Run) -> None:
        start = time.perf_counter()
        try:
            answer, is_error, ms = _answer(candidate()), False, (time.perf_counter() - start) * 1000
            is_same = same(expected.value, answer.value) if expected.version == answer.version else None
        except BaseException:  # in a thread of its own nobody else would hear of it
            answer, is_error, is_same, ms = Answer(None), True, None, (time.perf_counter() - start) * 1000
        if run.is_abandoned or not answer.is_counted:
            return
        self.observe(Arm.CANDIDATE, ms, is_error=is_error, is_hit=answer.is_hit, is_same=is_same, view=view)
        if is_same is False:
            keep(self.name, expected.value, answer.value)


def gate(name: str) -> Gate:
    """The gate of this rollout in this process."""
    own = runtime.own()
    return Gate(name, own.views, own.metrics, own.shadows, own.in_flight)


def _answer(returned: Any) -> Answer:
    return returned if isinstance(returned, Answer) else Answer(returned)


def _value(returned: Any) -> Any:
    return _answer(returned).value
