"""The guards on a rollout's page: a row of the table and a chart for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.utils.safestring import SafeString

from core.console.badges import badge
from rollout import sql
from rollout.admin.guard_chart import ChartPoint, GuardChart
from rollout.choices import Guard, RunState, Verdict
from rollout.control.loop import TICK_SECONDS, reading_seconds
from rollout.decisions.guards import ALPHA, Judgment
from rollout.decisions.wording import format_bound, format_limit, format_value
from rollout.models import GuardReading, Rollout
from rollout.status import Status

POINTS_AT_MOST = 240  # of a guard's chart
KEPT = timedelta(days=GuardReading.KEEP_DAYS)
TICKS_IN_A_GAP = 3  # without a reading
PARTS_IN_A_GAP = 2.5  # of the POINTS_AT_MOST parts of the time axis; neighboring points are up to 2 parts apart
SHARES = (Guard.ERROR_RATE, Guard.HIT_RATE, Guard.MISMATCH_RATE, Guard.OWN_SHARE, Guard.FEED_HEALTH)  # 0 to 1


@dataclass(frozen=True, slots=True)
class GuardRow:
    """A guard as the table shows it. An empty text is a dash, and absent on a phone.

    bound: what is ruled out, with its confidence.
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
        bound=_describe_bound(judgment),
        samples=f"{judgment.samples:,} of {judgment.needed:,}" if is_small else f"{judgment.samples:,}",
        verdict=badge(Verdict(judgment.verdict)),
        leads=judgment.leads.label,
        note=judgment.note,
    )


def guard_name(judgment: Judgment) -> str:
    """Return the guard's name for an operator; the guard of a metric has the metric's name."""
    return judgment.guard.label if judgment.name == judgment.guard else judgment.name


def _describe_bound(judgment: Judgment) -> str:
    """Return what is ruled out, as `at most 0.8 % with 99.9 % confidence`."""
    if judgment.bound is None:
        return ""
    return f"{format_bound(judgment)} with {100 * (1 - ALPHA):.4g} % confidence"


def _is_minimum(judgment: Judgment) -> bool:
    return judgment.guard in (Guard.HIT_RATE, Guard.TRAFFIC)


def guard_charts(status: Status) -> list[SafeString]:
    """Return a chart for each guard, over the stage visit; over its kept readings if it began before them."""
    rollout = status.rollout
    ends_at = rollout.stage_entered_at + timedelta(seconds=status.seconds_in_stage)
    begins_at = max(rollout.stage_entered_at, ends_at - KEPT)
    points = read_points(rollout, status.judgments, begins_at, ends_at)
    every_seconds = reading_seconds(status.stage_minutes * rollout.pace, is_done=rollout.run_state == RunState.DONE)
    return [
        _guard_chart(f"guard-{number}", judgment, points[judgment.name], begins_at, ends_at, every_seconds).html()
        for number, judgment in enumerate(status.judgments)
    ]


def _guard_chart(
    chart_id: str,
    judgment: Judgment,
    points: Sequence[ChartPoint],
    begins_at: datetime,
    ends_at: datetime,
    every_seconds: float,
) -> GuardChart:
    part_seconds = (ends_at - begins_at).total_seconds() / POINTS_AT_MOST
    return GuardChart(
        id=chart_id,
        title=guard_name(judgment),
        points=points,
        begins_at=begins_at,
        ends_at=ends_at,
        gap_seconds=max(TICKS_IN_A_GAP * TICK_SECONDS, PARTS_IN_A_GAP * max(part_seconds, every_seconds)),
        is_minimum=_is_minimum(judgment),
        largest=1.0 if judgment.guard in SHARES else None,
        describe=lambda value: format_value(judgment.guard, value),
        value_name="now" if judgment.guard is Guard.FEED_HEALTH else "candidate",
    )


def read_points(
    rollout: Rollout, judgments: Sequence[Judgment], begins_at: datetime, ends_at: datetime
) -> dict[str, list[ChartPoint]]:
    """Return the readings of these guards in this visit, oldest first, by the name of the judgment.

    Each of POINTS_AT_MOST equal parts of the time has its last reading, if there is one.
    """
    points: dict[str, list[ChartPoint]] = {judgment.name: [] for judgment in judgments}
    with connection.cursor() as cursor:
        cursor.execute(
            sql.READINGS_OVER_TIME,
            {
                "rollout": rollout.pk,
                "epoch": rollout.stage_epoch,
                "guards": [judgment.guard.value for judgment in judgments],
                "names": list(points),
                "begins_at": begins_at,
                "parts": POINTS_AT_MOST,
                # The second belongs to the last part: it has to include a reading of this very moment.
                "part_seconds": ((ends_at - begins_at).total_seconds() + 1) / POINTS_AT_MOST,
            },
        )
        for name, at, value, limit, control, bound, verdict in cursor.fetchall():
            points[name].append(ChartPoint(at, value, limit, control, bound, Verdict(verdict)))
    return points
