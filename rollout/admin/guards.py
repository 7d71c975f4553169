"""The guards on a rollout's page: a row of the table and a chart for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import connection
from django.utils.safestring import SafeString

from core.console.badges import badge
from core.db.lock_wait import unless_locked
from rollout import sql
from rollout.admin.guard_chart import ChartPoint, GuardChart
from rollout.choices import Guard, Verdict
from rollout.control.records import READING_AT_MOST_EVERY, reading_interval
from rollout.decisions.guards import ALPHA, OWN_GUARDS, Judgment, limit_as_value
from rollout.decisions.stages import StagePlan
from rollout.decisions.wording import PLAIN, TIMES, format_bound, format_limit, format_value
from rollout.models import GuardReading, Rollout
from rollout.status import Status

POINTS_AT_MOST = 240  # of a guard's chart, and the present one
KEPT = timedelta(days=GuardReading.KEEP_DAYS)
READINGS_IN_A_GAP = 3  # that are missing
PARTS_IN_A_GAP = 2.5  # of the POINTS_AT_MOST parts of the time axis; neighboring points are up to 2 parts apart
FAR_FROM_ZERO = {Guard.HIT_RATE, *OWN_GUARDS}
CONFIDENCE = f"{100 * (1 - ALPHA):.4g} %"
OF_NO_ARM = {Guard.TRAFFIC, Guard.FEED_HEALTH}  # the guards that do not measure the candidate alone


@dataclass(frozen=True, slots=True)
class GuardRow:
    """A guard as the table shows it. An empty text is a dash, and absent on a phone.

    bound: the worst value that is not ruled out, with CONFIDENCE.
    samples: the number of observations, and the minimum if they are fewer.
    """

    name: str
    candidate: str
    control: str
    limit: str
    bound: str
    samples: str
    verdict: SafeString
    leads: str
    note: str


def guard_rows(judgments: Sequence[Judgment]) -> list[GuardRow]:
    """Return the rows of the table of guards."""
    return [_guard_row(judgment) for judgment in judgments]


def _guard_row(judgment: Judgment) -> GuardRow:
    is_small = judgment.samples < judgment.needed
    return GuardRow(
        name=guard_name(judgment),
        candidate=format_value(judgment.guard, judgment.value),
        control="" if judgment.control is None else format_value(judgment.guard, judgment.control),
        limit=format_limit(judgment),
        bound=format_bound(judgment),
        samples=f"{judgment.samples:,} of {judgment.needed:,}" if is_small else f"{judgment.samples:,}",
        verdict=badge(Verdict(judgment.verdict)),
        leads="" if judgment.guard is Guard.TRAFFIC else judgment.leads.label,  # it is never violated
        note=judgment.note,
    )


def guard_name(judgment: Judgment) -> str:
    """Return the guard's name for an operator; the guard of an own metric has the name of that."""
    return judgment.metric or judgment.guard.label


def charts_if_readable(status: Status, plan: StagePlan | None) -> list[SafeString]:
    """Return a chart for each guard, over the stage visit; none if another session locks the readings.

    A visit that began before the oldest reading that is kept begins there.

    plan: the plan of the rollout's stage; None if it is not known.
    """
    rollout = status.rollout
    ends_at = rollout.stage_entered_at + timedelta(seconds=status.seconds_in_stage)
    begins_at = max(rollout.stage_entered_at, ends_at - KEPT)
    readings = unless_locked(partial(read_points, rollout, status.judgments, begins_at, ends_at))
    if readings is None:
        return []
    every = READING_AT_MOST_EVERY if plan is None else reading_interval(plan, rollout)
    part_seconds = (ends_at - begins_at).total_seconds() / POINTS_AT_MOST
    return [
        GuardChart(
            id=f"guard-{number}",
            title=guard_name(judgment),
            points=[*readings[judgment.name], _present_point(judgment, ends_at)],
            begins_at=begins_at,
            ends_at=ends_at,
            gap_seconds=max(READINGS_IN_A_GAP * every, PARTS_IN_A_GAP * part_seconds),
            begins_at_zero=judgment.guard not in FAR_FROM_ZERO,
            is_share=judgment.guard not in PLAIN | TIMES,
            limit_text=format_limit(judgment),
            bound_text=format_bound(judgment),
            describe=partial(format_value, judgment.guard),
            value_name="now" if judgment.guard in OF_NO_ARM else "candidate",
        ).html()
        for number, judgment in enumerate(status.judgments)
    ]


def read_points(
    rollout: Rollout, judgments: Sequence[Judgment], begins_at: datetime, ends_at: datetime
) -> dict[str, list[ChartPoint]]:
    """Return the readings of these guards in this visit, oldest first, by the name of the judgment.

    Each of POINTS_AT_MOST equal parts of the time has its last reading, if there is one.
    """
    guards = {judgment.name: judgment.guard for judgment in judgments}
    points: dict[str, list[ChartPoint]] = {name: [] for name in guards}
    with connection.cursor() as cursor:
        cursor.execute(
            sql.READINGS_OVER_TIME,
            {
                "rollout": rollout.pk,
                "epoch": rollout.stage_epoch,
                "names": list(points),
                "begins_at": begins_at,
                "parts": POINTS_AT_MOST,
                # The second belongs to the last part: it has to include a reading of this very moment.
                "part_seconds": ((ends_at - begins_at).total_seconds() + 1) / POINTS_AT_MOST,
            },
        )
        for name, at, value, limit, control, bound, verdict in cursor.fetchall():
            limit_shown = limit_as_value(guards[name], limit, control)
            points[name].append(ChartPoint(at, value, limit_shown, control, bound, Verdict(verdict)))
    return points


def _present_point(judgment: Judgment, now: datetime) -> ChartPoint:
    limit = limit_as_value(judgment.guard, judgment.limit_value, judgment.control)
    return ChartPoint(now, judgment.value, limit, judgment.control, judgment.bound_value, Verdict(judgment.verdict))
