"""The storage of what a tick found: the record of each stage visit, and now and then the readings of its guards."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec
import redis
from django.db import connection

from rollout import sql
from rollout.choices import RunState, Verdict
from rollout.control.assessment import TICK_SECONDS, Assessment, seconds_since
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import StagePlan
from rollout.gate import slots
from rollout.models import GuardReading, Rollout

READINGS_PER_STAGE = 240
READING_AT_MOST_EVERY = 60.0  # seconds
_encoder = msgspec.json.Encoder()


def store(assessments: Sequence[Assessment]) -> set[int]:
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
