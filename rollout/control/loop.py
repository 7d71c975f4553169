"""The control loop: each tick measures every rollout, judges it and moves it.

Any number of workers may tick at the same time. The first one that stores a rollout's record goes on with it, and the
first one that moves a rollout from its epoch wins; the others do nothing.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import redis
import structlog
from django.db.models import Model
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from core.notices.notify import Event, notify
from rollout.choices import RunState, Stage
from rollout.control.assessment import Assessment, assess, assess_measured
from rollout.control.measure import measure
from rollout.control.records import store
from rollout.decisions.stages import ACTIVE, Next
from rollout.gate import heartbeat, marks
from rollout.models import Rollout
from rollout.operations import lifecycle, transitions
from rollout.operations.lifecycle import Overtaken

__all__ = ["apply_decision", "assess", "database_now", "tick"]
log = structlog.get_logger("slipway.rollout")


def tick() -> int:
    """Assess every active rollout and carry out what is decided. Return the number of rollouts that moved.

    A rollout that cannot be assessed does not delay the others; its own gates answer control until it can be.
    """
    transitions.record_all_unrecorded()
    rollouts = list(Rollout.objects.filter(run_state__in=ACTIVE).exclude(stage=Stage.DISABLED))
    assessments = _assess_all(rollouts)
    stored = store(assessments)
    moved = 0
    for assessment in assessments:
        if assessment.rollout.pk not in stored:  # another worker with the same tick was faster
            continue
        try:
            moved += apply_decision(assessment)
        except Overtaken:  # an operator or another worker was faster; the next tick assesses the rollout again
            continue
        except Exception as error:
            _report_unjudged(assessment.rollout, error)
    with suppress(redis.RedisError):  # then gates see no tick, and the guards report that they cannot measure
        heartbeat.beat()
    return moved


def _assess_all(rollouts: Sequence[Rollout]) -> list[Assessment]:
    assessments = []
    for rollout, measured in zip(rollouts, measure(rollouts) if rollouts else [], strict=True):
        try:
            if isinstance(measured, Exception):
                raise measured
            assessments.append(assess_measured(measured))
        except Exception as error:
            _report_unjudged(rollout, error)
    return assessments


def _report_unjudged(rollout: Rollout, error: Exception) -> None:
    log.error("cannot judge a rollout; its gates answer control", rollout=rollout.name, exc_info=error)
    marks.mark_blind(rollout.name)


def database_now(row: Model) -> datetime:
    """Return the time of the database's clock.

    row: any stored row; the query goes by way of it.
    """
    now: datetime = type(row)._default_manager.filter(pk=row.pk).values_list(Now(), flat=True).get()
    return now


def apply_decision(assessment: Assessment) -> bool:
    """Carry out what was decided. Return whether the rollout changed.

    Raises Overtaken if the rollout changed after it was assessed.
    """
    rollout, decision, judgments = assessment.rollout, assessment.decision, assessment.judgments
    reason = "; ".join(decision.reasons)
    match decision.next:
        case Next.TRIP:
            lifecycle.trip(rollout, decision.stage, judgments, actor=SYSTEM, reason=reason)
            message = f"{rollout.name} tripped from {rollout.stage} to {decision.stage}: {reason}"
            notify(Event("rollout_trip", rollout.name, message))
        case Next.ADVANCE:
            lifecycle.advance(rollout, judgments, actor=SYSTEM, reason=reason)
        case Next.STEP:
            lifecycle.step(rollout, decision.percent, judgments, actor=SYSTEM, reason=reason)
        case Next.FINISH:
            lifecycle.finish(rollout, judgments, actor=SYSTEM, reason=reason)
        case Next.WAIT if rollout.run_state != RunState.WAITING:
            lifecycle.wait(rollout, judgments, actor=SYSTEM)
        case _:
            return False
    return True
