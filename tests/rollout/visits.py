"""Stage visits made of slots, for tests of what is judged."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rollout.choices import Consequence, Guard, Stage
from rollout.decisions.counts import Arms, Counts
from rollout.decisions.guards import Judgment, Rule, Setting
from rollout.decisions.judging import Feeds, Measurements, judge
from rollout.decisions.latency import bucket_number
from rollout.decisions.record import VisitRecord, with_counts, with_slot

RULES = {
    Guard.TRAFFIC: Rule(Guard.TRAFFIC),
    Guard.ERRORS: Rule(Guard.ERRORS, 5),
    Guard.ERROR_RATE: Rule(Guard.ERROR_RATE, 0.01),
    Guard.P95_MS: Rule(Guard.P95_MS, 1000),
    Guard.LATENCY: Rule(Guard.LATENCY, leads=Consequence.WARN),
    Guard.HIT_RATE: Rule(Guard.HIT_RATE, 0.3),
    Guard.MISMATCH_RATE: Rule(Guard.MISMATCH_RATE, 0.01),
    Guard.ASSIGNMENT: Rule(Guard.ASSIGNMENT, leads=Consequence.WARN),
    Guard.FEED_HEALTH: Rule(Guard.FEED_HEALTH, 0.5, min_samples=1, leads=Consequence.WARN),
}
SHADOW = Setting(Stage.SHADOW_MODE)
FULL = Setting(Stage.FULL_ACTIVE, percent=100, is_compared=False)
NO_FEED_FAILS = Feeds(watched=12)


def counts(requests: int, bad: int = 0, **others: Any) -> Counts:
    """Return counts of calls that took 20 ms, of which `bad` failed. Each is a hit and the same as control's."""
    each: dict[str, Any] = {
        "failing": bad,
        "hits": requests,
        "compared": requests,
        "latencies": {bucket_number(20): requests},
    }
    return replace(Counts(requests, errors=bad), **each | others)


def record_of(
    slots: Iterable[Arms], setting: Setting, rules: Sequence[Rule] = tuple(RULES.values()), window: float | None = None
) -> VisitRecord:
    """Return the record of a visit with these closed slots."""
    record = VisitRecord()
    for number, arms in enumerate(slots):
        record = with_slot(record, number, {setting.percent: arms}, rules, setting, window)
    return record


def judged(
    slots: Sequence[Arms],
    setting: Setting = SHADOW,
    rules: Sequence[Rule] = tuple(RULES.values()),
    *,
    is_open: bool = False,
    feeds: Feeds | None = NO_FEED_FAILS,
    lost: str = "",
) -> dict[str, Judgment]:
    """Return the judgments on a visit with these slots, by name.

    is_open: whether the last slot is not closed yet.
    """
    record = replace(record_of(slots[:-1] if is_open else slots, setting, rules), lost=lost)
    now = with_counts(record, len(slots), {setting.percent: slots[-1]}, None) if is_open else record
    return {judgment.name: judgment for judgment in judge(rules, Measurements(record, now, feeds), setting)}
