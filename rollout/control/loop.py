"""The control loop: each tick measures every rollout, judges it and moves it.

Any number of workers may tick at the same time. The first one that stores a rollout's record goes on with it, and the
first one that moves a rollout from its epoch wins; the others do nothing.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
import redis
import structlog
from django.db import connection
from django.db.models import Model
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from core.notices.notify import Event, notify
from rollout import sql
from rollout.choices import RunState, Stage, Verdict
from rollout.control.measure import Measured, measure
from rollout.decisions.guards import Judgment
from rollout.decisions.judging import judge
from rollout.decisions.record import VisitRecord
from rollout.decisions.stages import ACTIVE, Decision, Next, Progress, StagePlan, decide
from rollout.gate import heartbeat, marks, slots
from rollout.models import GuardReading, Rollout
from rollout.operations import lifecycle, transitions
from rollout.operations.lifecycle import Overtaken

TICK_SECONDS = 4.0  # a little less than the time from one tick to the next
GAP_SECONDS = 30.0  # a longer time between two ticks does not count: gates were blind in it
READINGS_PER_STAGE = 240
READING_AT_MOST_EVERY = 60.0  # seconds
_encoder = msgspec.json.Encoder()
log = structlog.get_logger("slipway.rollout")


@dataclass(frozen=True, slots=True)
class Assessment:
    """A rollout, its plan, what was measured and what follows, all at one moment of the database's clock (`now`).

    record: what the tick stores.
    """

    rollout: Rollout
    plan: StagePlan
    progress: Progress
    judgments: Sequence[Judgment]
    decision: Decision
    now: datetime
    measured: Measured
    record: VisitRecord


def tick() -> int:
    """Assess every active rollout and carry out what is decided. Return the number of rollouts that moved.

    A rollout that cannot be assessed does not delay the others; its own gates answer control until it can be.
    """
    transitions.record_all_unrecorded()
    rollouts = list(Rollout.objects.filter(run_state__in=ACTIVE).exclude(stage=Stage.DISABLED))
    assessments = _assess_all(rollouts)
    stored = _store(assessments)
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
            assessments.append(_assess(measured))
        except Exception as error:
            _report_unjudged(rollout, error)
    return assessments


def _report_unjudged(rollout: Rollout, error: Exception) -> None:
    log.error("cannot judge a rollout; its gates answer control", rollout=rollout.name, exc_info=error)
    marks.mark_blind(rollout.name)


def assess(rollout: Rollout) -> Assessment:
    """Measure and judge the rollout, and decide what is next. It changes nothing.

    Raises what makes judging impossible, such as StagePolicy.DoesNotExist if the stage has no policy.
    """
    [measured] = measure([rollout])
    if isinstance(measured, Exception):
        raise measured
    return _assess(measured)


def _assess(measured: Measured) -> Assessment:
    rollout = measured.rollout
    judgments = judge(measured.rules, measured.measurements, measured.setting)
    record = _next_record(measured, judgments)
    progress = Progress(
        stage=Stage(rollout.stage),
        run_state=RunState(rollout.run_state),
        percent=rollout.percent,
        entered_at=rollout.percent_entered_at,
        paused_seconds=rollout.paused_seconds,
        idle_seconds=record.idle_at(measured.step),
        pace=rollout.pace,
        is_serving=measured.is_serving,
        is_approved=rollout.approved_epoch is not None,
        is_frozen=not measured.is_advancing,
        trip_errors=measured.trip_errors,
        blind_ticks=max(record.unmeasured.values(), default=0),
        name=rollout.name,
    )
    plan = measured.policy.plan
    decision = decide(progress, plan, judgments, measured.now)
    return Assessment(rollout, plan, progress, judgments, decision, measured.now, measured, record)


def _next_record(measured: Measured, judgments: Sequence[Judgment]) -> VisitRecord:
    """Return the record as it is after this tick."""
    record = measured.measurements.record or measured.stored
    is_due = _seconds_since(measured.judged_at, measured.now) >= TICK_SECONDS
    unmeasured = {
        judgment.name: record.unmeasured.get(judgment.name, 0) + is_due
        for judgment in judgments
        if judgment.verdict is Verdict.ERROR and judgment.is_binding
    }
    if record.lost and measured.rollout.run_state == RunState.DONE:
        # It goes on with its record, which lacks some seconds at most.
        record = replace(record, lost="", is_marked=False)
    return replace(
        record,
        idle_step=measured.step,
        idle_seconds=record.idle_at(measured.step) + _idle_seconds(measured),
        unmeasured=unmeasured,
        judgments=tuple(judgments),
    )


def _idle_seconds(measured: Measured) -> float:
    """Return the seconds since the last tick in which the stage was not in effect; a pause is counted elsewhere."""
    rollout, now = measured.rollout, measured.now
    if rollout.run_state == RunState.PAUSED:
        return 0.0
    since = max(measured.judged_at or rollout.percent_entered_at, rollout.percent_entered_at)
    seconds = max(0.0, (now - since).total_seconds())
    is_gap = measured.judged_at is not None and seconds > GAP_SECONDS
    return seconds if is_gap or not measured.is_serving else 0.0


def _seconds_since(moment: datetime | None, now: datetime) -> float:
    return TICK_SECONDS if moment is None else (now - moment).total_seconds()


def _store(assessments: Sequence[Assessment]) -> set[int]:
    """Store the records and the readings. Return the rollouts whose record was stored by this worker."""
    if not assessments:
        return set()
    are_read = [_is_reading_due(assessment) for assessment in assessments]
    with connection.cursor() as cursor:
        cursor.execute(
            sql.STORE_EVIDENCE,
            {
                "rollouts": [each.rollout.pk for each in assessments],
                "visits": [each.rollout.visit for each in assessments],
                "ticks": [each.measured.tick + 1 for each in assessments],
                "records": [_encoder.encode(each.record) for each in assessments],
                "are_read": are_read,
                "read_at": [each.measured.read_at for each in assessments],
            },
        )
        stored = {rollout for (rollout,) in cursor}
    due = [each for each, is_read in zip(assessments, are_read, strict=True) if is_read and each.rollout.pk in stored]
    GuardReading.objects.bulk_create([reading for each in due for reading in _readings(each)])
    with suppress(redis.RedisError):  # the next tick notes it
        slots.mark_judged(
            {each.rollout.visit.hex: each.measured.tick + 1 for each in assessments if each.rollout.pk in stored}
        )
    return stored


def _is_reading_due(assessment: Assessment) -> bool:
    """Return whether this tick's judgments are stored as readings: when a verdict changes, and now and then."""
    measured = assessment.measured
    if measured.read_at is None or _verdicts(measured.stored.judgments) != _verdicts(assessment.judgments):
        return True
    return _seconds_since(measured.read_at, measured.now) >= reading_interval(assessment.plan, assessment.rollout)


def reading_interval(plan: StagePlan, rollout: Rollout) -> float:
    """Return the seconds between two readings while no verdict changes.

    plan: the plan of the rollout's stage.
    """
    every = plan.minutes * 60 * rollout.pace / READINGS_PER_STAGE
    if rollout.run_state == RunState.DONE:
        every = READING_AT_MOST_EVERY
    return max(TICK_SECONDS, min(READING_AT_MOST_EVERY, every))


def _verdicts(judgments: Sequence[Judgment]) -> list[tuple[str, Verdict]]:
    return [(judgment.name, judgment.verdict) for judgment in judgments]


def _readings(assessment: Assessment) -> list[GuardReading]:
    rollout = assessment.rollout
    return [
        GuardReading(
            rollout=rollout,
            epoch=rollout.epoch,
            stage=rollout.stage,
            guard=judgment.guard,
            name=judgment.name,
            value=judgment.value,
            control=judgment.control,
            bound=judgment.bound_value,
            limit=judgment.limit_value,
            samples=judgment.samples,
            verdict=judgment.verdict,
        )
        for judgment in assessment.judgments
    ]


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
