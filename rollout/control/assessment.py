"""The assessment of a rollout, which changes nothing: what was measured, the verdicts, and what follows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from core.db.lock_wait import short_lock_waits
from core.errors import first_line
from core.redaction import redact
from rollout.choices import RunState, Stage, Verdict
from rollout.control.measure import Measured, measure
from rollout.decisions.guards import Judgment
from rollout.decisions.judging import judge
from rollout.decisions.record import VisitRecord
from rollout.decisions.stages import Decision, Progress, StagePlan, decide
from rollout.models import Rollout, StagePolicy

TICK_SECONDS = 4.0  # a little less than the time from one tick to the next
GAP_SECONDS = 30.0  # a longer time between two ticks does not count: gates were blind in it


class CannotJudge(Exception):
    """The rollout cannot be judged now. The message is the cause, without secrets."""


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


def assess(rollout: Rollout) -> Assessment:
    """Measure and judge the rollout, and decide what is next. It changes nothing.

    Raises what makes judging impossible, such as StagePolicy.DoesNotExist if the stage has no policy.
    """
    [measured] = measure([rollout])
    if isinstance(measured, Exception):
        raise measured
    return assess_measured(measured)


def assess_for_operator(rollout: Rollout) -> Assessment:
    """Return the assessment of a rollout that is not disabled. A locked table does not keep the operator waiting.

    Raises CannotJudge if its policy is missing or broken, if a table is locked, or if the code of an app fails.
    """
    try:
        with short_lock_waits():
            return assess(rollout)
    except StagePolicy.DoesNotExist:
        raise CannotJudge(f"it has no policy for {rollout.stage}") from None
    except Exception as error:
        raise CannotJudge(redact(first_line(error, type(error).__name__))) from error


def assess_measured(measured: Measured) -> Assessment:
    """Judge a measured rollout, and decide what is next. It changes nothing."""
    rollout = measured.rollout
    judgments = judge(measured.rules, measured.measurements, measured.setting)
    record = _next_record(measured, judgments)
    progress = Progress(
        stage=Stage(rollout.stage),
        run_state=RunState(rollout.run_state),
        percent=rollout.percent,
        entered_at=rollout.percent_entered_at,
        paused_seconds=rollout.paused_seconds,
        idle_seconds=record.idle_at(rollout.percent),
        pace=rollout.pace,
        is_serving=measured.is_serving,
        is_approved=rollout.approved_epoch is not None,
        is_frozen=not measured.is_advancing,
        trip_errors=measured.trip_errors,
        blind_ticks=int(max(record.unmeasured.values(), default=0)),
        name=rollout.name,
    )
    plan = measured.policy.plan
    decision = decide(progress, plan, judgments, measured.now)
    return Assessment(
        rollout=rollout,
        plan=plan,
        progress=progress,
        judgments=judgments,
        decision=decision,
        now=measured.now,
        measured=measured,
        record=record,
    )


def _next_record(measured: Measured, judgments: Sequence[Judgment]) -> VisitRecord:
    """Return the record as it is after this tick."""
    record, percent = measured.measurements.closed or measured.stored, measured.rollout.percent
    # A tick that comes early counts in part, however many beats or trips request one.
    part_of_tick = min(1.0, seconds_since(measured.judged_at, measured.now) / TICK_SECONDS)
    unmeasured = {
        judgment.name: record.unmeasured.get(judgment.name, 0.0) + part_of_tick
        for judgment in judgments
        if judgment.verdict is Verdict.ERROR and judgment.is_binding
    }
    if record.lost and measured.rollout.run_state == RunState.DONE:
        # A rollout that is done goes on with its record, which lacks some seconds at most.
        record = replace(record, lost="", is_tick_noted=False)
    return replace(
        record,
        idle_step=percent,
        idle_seconds=record.idle_at(percent) + _idle_seconds(measured),
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


def seconds_since(moment: datetime | None, now: datetime) -> float:
    """Return the seconds since the moment; the time from one tick to the next if there was none."""
    return TICK_SECONDS if moment is None else (now - moment).total_seconds()
