"""The control loop: each tick measures every rollout, judges it and moves it.

Any number of workers may tick at the same time. The first one that moves a rollout from its epoch wins, and the others
do nothing.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
import structlog
from django.db.models import Model
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from core.notices.notify import Event, notify
from core.switches import Part
from rollout.choices import Guard, RunState, Stage, Verdict
from rollout.control import feeds
from rollout.decisions.guards import Counts, Judgment, Measurements, judge
from rollout.decisions.stages import ACTIVE, Arm, Decision, Next, Progress, StagePlan, decide
from rollout.gate import counters, heartbeat, marks
from rollout.gate.counters import StageVisit
from rollout.models import Activation, GuardReading, Rollout, StagePolicy
from rollout.operations import lifecycle
from rollout.operations.lifecycle import Overtaken

READING_INTERVAL = timedelta(seconds=4)  # a little less than the time from one tick to the next
LOOKED_BACK_AT_MOST = 100  # readings of a guard that are searched for errors in a row
log = structlog.get_logger("slipway.rollout")


@dataclass(frozen=True, slots=True)
class Assessment:
    """A rollout, its plan, what was measured and what follows, all at one moment of the database's clock (`now`)."""

    rollout: Rollout
    plan: StagePlan
    progress: Progress
    judgments: Sequence[Judgment]
    decision: Decision
    now: datetime


def tick() -> int:
    """Assess every active rollout and carry out what is decided. Return the number of rollouts that moved.

    A rollout that cannot be assessed does not delay the others; its own gates answer control until it can be.
    """
    moved = 0
    for rollout in Rollout.objects.filter(run_state__in=ACTIVE).exclude(stage=Stage.DISABLED):
        try:
            if _tick(rollout):
                moved += 1
        except Exception:
            log.exception("cannot judge a rollout; its gates answer control", rollout=rollout.name)
            marks.mark_blind(rollout.name)
    with suppress(redis.RedisError):  # then gates see no tick, and the guards report that they cannot measure
        heartbeat.beat()
    return moved


def _tick(rollout: Rollout) -> bool:
    assessment = assess(rollout)
    is_recorded = GuardReading.objects.filter(rollout=rollout, at__gt=Now() - READING_INTERVAL).exists()
    if not is_recorded:  # by another worker with the same tick
        _record_readings(assessment)
    try:
        return apply_decision(assessment)
    except Overtaken:  # an operator or another worker was faster; the next tick assesses the rollout again
        return False


def _record_readings(assessment: Assessment) -> None:
    rollout = assessment.rollout
    GuardReading.objects.bulk_create(
        GuardReading(
            rollout=rollout,
            epoch=rollout.epoch,
            stage=rollout.stage,
            guard=judgment.guard,
            value=judgment.value,
            limit=judgment.limit,
            samples=judgment.samples,
            verdict=judgment.verdict,
        )
        for judgment in assessment.judgments
    )


def assess(rollout: Rollout) -> Assessment:
    """Measure and judge the rollout, and decide what is next. It changes nothing."""
    policy = StagePolicy.objects.get(rollout=rollout, stage=rollout.stage)
    visit = current_visit(rollout, policy)
    measurements, trip_errors = _measure(rollout, visit)
    judgments = judge(Stage(rollout.stage), measurements, policy.limits())
    progress = Progress(
        stage=Stage(rollout.stage),
        run_state=RunState(rollout.run_state),
        percent=rollout.percent,
        entered_at=rollout.percent_entered_at,
        paused_seconds=rollout.paused_seconds,
        pace=rollout.pace,
        is_approved=rollout.approved_epoch is not None,
        is_frozen=not Activation.objects.allows(Part.ADVANCING),
        trip_errors=trip_errors,
        blind_ticks=_blind_ticks(rollout, visit, judgments),
        name=rollout.name,
    )
    plan = policy.plan
    now = database_now(rollout)
    return Assessment(rollout, plan, progress, judgments, decide(progress, plan, judgments, now), now)


def current_visit(rollout: Rollout, policy: StagePolicy) -> StageVisit:
    """Return the rollout's present stage visit, without a hard limit.

    policy: the policy of its present stage.
    """
    window_seconds = policy.window_minutes * 60 if policy.window_minutes else None
    return StageVisit(rollout.epoch, rollout.stage_epoch, window_seconds=window_seconds)


def _measure(rollout: Rollout, visit: StageVisit) -> tuple[Measurements, int]:
    """Return the measurements, and the error count of a pending trip (0 if there is none).

    Without Redis nothing is measured, and the guards report that.
    """
    feed_counts = feeds.count_feeds()
    watched_and_failing = (feed_counts.watched, feed_counts.failing) if feed_counts else None
    control = Counts(rollout.control_requests, rollout.control_errors)
    try:
        candidate = counters.read_counts(rollout.name, Arm.CANDIDATE, visit)
        trip_errors = marks.read_trip_errors(rollout.name, rollout.settled_epoch)
    except redis.RedisError:
        return Measurements(None, feeds=watched_and_failing), 0
    return Measurements(candidate, control, watched_and_failing), trip_errors


def _blind_ticks(rollout: Rollout, visit: StageVisit, judgments: Sequence[Judgment]) -> int:
    """Return at how many ticks in a row, this one included, a binding guard could not be measured."""
    unmeasured = [each.guard for each in judgments if each.verdict is Verdict.ERROR and each.is_binding]
    return max((1 + _errors_in_a_row(rollout, visit, guard) for guard in unmeasured), default=0)


def _errors_in_a_row(rollout: Rollout, visit: StageVisit, guard: Guard) -> int:
    """Return how many of the guard's newest readings in this visit are ERROR in a row."""
    readings = GuardReading.objects.filter(
        rollout=rollout, guard=guard, epoch__gte=visit.first_epoch, at__gte=rollout.stage_entered_at
    )
    errors = 0
    for verdict in readings.order_by("-at").values_list("verdict", flat=True)[:LOOKED_BACK_AT_MOST]:
        if verdict != Verdict.ERROR:
            break
        errors += 1
    return errors


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
    judging = {judgment.guard for judgment in judgments}
    if Guard.ERROR_RATE in judging and Guard.ERRORS not in judging:
        marks.defer_to_relative_guard(rollout.name, rollout.stage_epoch)
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
