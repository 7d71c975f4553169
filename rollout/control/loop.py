"""The control loop: each tick measures every rollout, judges it and moves it.

Any number of workers may tick at the same time. The first one that stores a rollout's record goes on with it, and the
first one that moves a rollout from its epoch wins; the others do nothing.
"""

from collections.abc import Sequence
from contextlib import suppress

import redis
import structlog

from core.access.actors import SYSTEM
from core.db.lock_wait import short_lock_waits
from core.notices.notify import Event, notify
from rollout.choices import RunState, Stage
from rollout.control.assessment import Assessment, assess_measured
from rollout.control.measure import Measured, measure
from rollout.control.records import store
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import ACTIVE, Decision, Next
from rollout.gate import heartbeat, marks
from rollout.models import Rollout
from rollout.operations import lifecycle, transitions
from rollout.operations.lifecycle import Overtaken

log = structlog.get_logger("slipway.rollout")


def tick() -> int:
    """Assess every active rollout and carry out what is decided. Return the number of rollouts that moved.

    A rollout that cannot be assessed or moved, because another session locks its row for example, does not delay the
    others; its own gates answer control until it can be.
    Raises django.db.OperationalError if the rollouts cannot be read. Then nothing is judged, and gates see no tick.
    """
    with short_lock_waits():
        rollouts = list(Rollout.objects.filter(run_state__in=ACTIVE).exclude(stage=Stage.DISABLED).order_by("pk"))
    stored = store(_assess_all(rollouts))
    for assessment, failure in stored.failures:
        _report_unjudged(assessment.rollout, failure)
    moved = 0
    for assessment in stored.assessments:
        try:
            moved += apply_decision(assessment)
        except Overtaken:  # an operator or another worker was faster; the next tick assesses the rollout again
            continue
        except Exception as error:
            _report_unjudged(assessment.rollout, error)
    with suppress(redis.RedisError):  # then gates see no tick, and the guards report that they cannot measure
        heartbeat.beat()
    transitions.record_all_unrecorded()  # last, because it may wait for locks
    return moved


def _assess_all(rollouts: Sequence[Rollout]) -> list[Assessment]:
    assessments = []
    for rollout, measured in zip(rollouts, _measure_all(rollouts), strict=True):
        try:
            if isinstance(measured, Exception):
                raise measured
            assessments.append(assess_measured(measured))
        except Exception as error:
            _report_unjudged(rollout, error)
    return assessments


def _measure_all(rollouts: Sequence[Rollout]) -> Sequence[Measured | Exception]:
    """Return the measurements of each rollout, or why it cannot be measured: if a policy table is locked, none can."""
    if not rollouts:
        return []
    try:
        with short_lock_waits():
            return measure(rollouts)
    except Exception as error:
        return [error] * len(rollouts)


def _report_unjudged(rollout: Rollout, error: Exception) -> None:
    log.error("cannot judge a rollout; its gates answer control", rollout=rollout.name, exc_info=error)
    marks.mark_blind(rollout.name)


def apply_decision(assessment: Assessment) -> bool:
    """Carry out what was decided. Return whether the rollout changed.

    Raises Overtaken if the rollout changed after it was assessed, Refused or OperationalError if another session locks
    what the change needs.
    """
    rollout, decision, judgments = assessment.rollout, assessment.decision, assessment.judgments
    is_waiting = decision.next is Next.WAIT and rollout.run_state == RunState.WAITING
    if decision.next is Next.STAY or is_waiting:
        return False
    reason = "; ".join(decision.reasons)
    with short_lock_waits(transitions.LOCK_WAIT_MS):
        _change_rollout(rollout, decision, judgments, reason)
    if decision.next is Next.TRIP:
        message = f"{rollout.name} tripped from {rollout.stage} to {decision.stage}: {reason}"
        notify(Event("rollout_trip", rollout.name, message))
    return True


def _change_rollout(rollout: Rollout, decision: Decision, judgments: Sequence[Judgment], reason: str) -> None:
    match decision.next:
        case Next.TRIP:
            lifecycle.trip(rollout, decision.stage, judgments, actor=SYSTEM, reason=reason)
        case Next.ADVANCE:
            lifecycle.advance(rollout, judgments, actor=SYSTEM, reason=reason)
        case Next.STEP:
            lifecycle.step(rollout, decision.percent, judgments, actor=SYSTEM, reason=reason)
        case Next.FINISH:
            lifecycle.finish(rollout, judgments, actor=SYSTEM, reason=reason)
        case Next.WAIT:
            lifecycle.wait(rollout, judgments, actor=SYSTEM)
