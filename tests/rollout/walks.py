"""A rollout's way through its stages on the traffic of an application, by real ticks; its clock is moved, not awaited.

It imports nothing of pytest, because the tests of the documentation also use it in the process of an application.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import redis
from django.db.models import F

from core.access.actors import SYSTEM
from rollout.choices import RunState, Stage
from rollout.control import loop
from rollout.gate import heartbeat, runtime
from rollout.models import GuardReading, Rollout, Transition, VisitEvidence
from rollout.operations import lifecycle
from tests.processes import until
from tests.rollout.counted import close_slots

KEYS = [f"account-{number}" for number in range(800)]  # at 10 %, the candidate gets more than the 50 that a guard needs
LONGEST_STAGE = timedelta(minutes=20)
TICKS_AT_MOST = 12
WALKED = [
    *("DARK_MODE 0 running", "SHADOW_MODE 0 running", "PARTIAL_ACTIVE 10 running", "PARTIAL_ACTIVE 25 running"),
    *("PARTIAL_ACTIVE 50 running", "FULL_ACTIVE 100 running", "FULL_ACTIVE 100 done"),
]


def walk(name: str, call: Callable[[str], object]) -> list[str]:
    """Start the rollout, and let it tick until it is done, goes back or stays. Return its positions, and why it ended.

    call: calls the application with a targeting key, through the rollout's gate.
    """
    lifecycle.start(Rollout.objects.get(name=name), actor=SYSTEM, reason="a test")
    positions = [_position(name)]
    for _ in range(TICKS_AT_MOST):
        _see_states(name)
        for key in KEYS:
            _find_place(name)
            call(key)
        time_passes(name)
        loop.tick()
        positions.append(_position(name))
        rollout = Rollout.objects.get(name=name)
        if rollout.stage == Stage.DISABLED or rollout.run_state == RunState.DONE or positions[-1] == positions[-2]:
            break
    return positions if positions == WALKED else [*positions, _why(rollout)]


def _position(name: str) -> str:
    rollout = Rollout.objects.get(name=name)
    return f"{rollout.stage} {rollout.percent} {rollout.run_state}"


def _why(rollout: Rollout) -> str:
    """Return the reason of the last transition, and the verdicts of the last tick."""
    judgments = VisitEvidence.objects.get(rollout=rollout).decoded().judgments
    verdicts = (f"{each.name} {each.verdict.value} {each.note}" for each in judgments)
    return "; ".join([Transition.objects.filter(rollout=rollout).latest("epoch").reason, *verdicts])


def _see_states(name: str) -> None:
    """Let this process's gates see the rollout's present stage."""

    def is_seen() -> bool:
        with suppress(redis.RedisError):  # it may be slow on a busy machine
            heartbeat.beat()
        states = runtime.shared().states
        states.refresh()
        state, rollout = states.find(name), Rollout.objects.get(name=name)
        present = (rollout.visit.hex, rollout.served_percent)
        return state is not None and (state.visit.id, state.serving.percent) == present

    assert until(is_seen)


def _find_place(name: str) -> None:
    """Wait until a run beside control has a place, so that none is skipped."""
    pool = runtime.shared().pool_of(name)
    assert until(lambda: pool.running < 4)


def time_passes(name: str) -> None:
    """Wait for the runs beside control, send all counts, and move the rollout past the end of its stage."""
    process = runtime.shared()
    assert until(lambda: not process.pool_of(name).running)
    assert until(process.counters.flush)
    close_slots()
    past = {field: F(field) - LONGEST_STAGE for field in ("percent_entered_at", "stage_entered_at")}
    Rollout.objects.filter(name=name).update(**past)
    seconds = timedelta(seconds=5)  # since the last tick
    VisitEvidence.objects.update(judged_at=F("judged_at") - seconds, read_at=F("read_at") - seconds)
    GuardReading.objects.update(at=F("at") - seconds)
