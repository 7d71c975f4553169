"""The storage of what a tick found: the record of each stage visit, and now and then the readings of its guards."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import redis
import structlog
from django.db import OperationalError, connection

from core.db.lock_wait import short_lock_waits
from core.errors import first_line
from rollout import sql
from rollout.choices import RunState, Verdict
from rollout.control.assessment import TICK_SECONDS, Assessment, seconds_since
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import StagePlan
from rollout.gate import slots
from rollout.models import GuardReading, Rollout

READINGS_PER_STAGE = 240
READING_AT_MOST_EVERY = 60.0  # seconds
LOCKED_IN_A_ROW = 3  # rollouts that could not be stored; then the table is locked, and not a row of it
_encoder = msgspec.json.Encoder()
log = structlog.get_logger("slipway.rollout")


@dataclass(frozen=True, slots=True)
class Stored:
    """The assessments that this worker goes on with, and those that it could not store, each with the cause.

    An assessment is in neither if another worker stored a later one.
    """

    assessments: list[Assessment] = field(default_factory=list)
    failures: list[tuple[Assessment, OperationalError]] = field(default_factory=list)


def store(assessments: Sequence[Assessment]) -> Stored:
    """Store the records and the readings. A lock on one rollout does not keep the others from being stored."""
    if not assessments:
        return Stored()
    stored = _write_unlocked(assessments, _write_records)
    due = [each for each in stored.assessments if _is_reading_due(each)]
    unread = _write_unlocked(due, _write_readings).failures if due else []
    if unread:  # they are for the charts alone
        names = [assessment.rollout.name for assessment, _ in unread]
        log.warning("cannot store readings of the guards", rollouts=names, error=first_line(unread[0][1]))
    with suppress(redis.RedisError):  # the next tick notes it
        slots.note_ticks(
            slots.JudgedVisit(each.rollout.visit.hex, each.measured.tick + 1, each.record.is_tick_noted)
            for each in stored.assessments
        )
    return stored


def _write_unlocked(
    assessments: Sequence[Assessment], write: Callable[[Sequence[Assessment]], list[Assessment]]
) -> Stored:
    """Write all at once. If another session holds a lock, write each by itself, so that it costs its rollout alone.

    write: returns those that it wrote.
    """
    with suppress(OperationalError), short_lock_waits():
        return Stored(write(assessments))
    stored, in_a_row = Stored(), 0
    for number, assessment in enumerate(assessments):
        try:
            with short_lock_waits():
                stored.assessments.extend(write([assessment]))
            in_a_row = 0
        except OperationalError as error:
            in_a_row += 1
            stored.failures.append((assessment, error))
            if in_a_row == LOCKED_IN_A_ROW:  # each of them would wait
                stored.failures.extend((each, error) for each in assessments[number + 1 :])
                break
    return stored


def _write_records(assessments: Sequence[Assessment]) -> list[Assessment]:
    """Write the records. Return the assessments whose record continued the stored one."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.STORE_EVIDENCE,
            {
                "rollouts": [each.rollout.pk for each in assessments],
                "visits": [each.rollout.visit for each in assessments],
                "ticks": [each.measured.tick + 1 for each in assessments],
                "records": [_encoder.encode(each.record) for each in assessments],
                "are_read": [_is_reading_due(each) for each in assessments],
                "read_at": [each.measured.read_at for each in assessments],
            },
        )
        stored = {rollout for (rollout,) in cursor}
    return [each for each in assessments if each.rollout.pk in stored]


def _write_readings(assessments: Sequence[Assessment]) -> list[Assessment]:
    GuardReading.objects.bulk_create([reading for each in assessments for reading in _readings(each)])
    return list(assessments)


def _is_reading_due(assessment: Assessment) -> bool:
    """Return whether this tick's judgments are stored as readings: when a verdict changes, and now and then."""
    measured = assessment.measured
    if measured.read_at is None or _verdicts(measured.stored.judgments) != _verdicts(assessment.judgments):
        return True
    return seconds_since(measured.read_at, measured.now) >= reading_interval(assessment.plan, assessment.rollout)


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
