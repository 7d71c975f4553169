"""The record of a stage visit: what was counted in its closed slots, and the evidence gathered from them. Pure.

A *visit* is the time of a rollout in one stage. It consists of *slots* of ten seconds; a slot is closed when they are
over. A *percent step* is the part of a visit with one traffic share. Counts are kept per percent step, because the
share of the candidate differs from step to step. The control loop stores one record per rollout. Each *tick* of the
loop adds the slots that were closed since the last one, each slot once. *Evidence* is what the tests gathered from the
slots.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

from rollout.choices import Guard, Stage
from rollout.decisions.counts import Arms
from rollout.decisions.guards import Judgment, Rule, Setting
from rollout.decisions.statistics import detection, evidence

SLOT_SECONDS = 10
SLOTS_PER_MINUTE = 6
AGAINST_CONTROL = {Guard.ERROR_RATE, Guard.LATENCY, Guard.OWN_SHARE}
AGAINST_LIMIT = {Guard.ERROR_RATE, Guard.P95_MS, Guard.HIT_RATE}
Steps = Mapping[int, Arms]
States = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VisitRecord:
    """The counts and the evidence of a stage visit.

    slot: the newest closed slot that is included; -1: none.
    steps: the counts by percent step.
    minutes: the counts by minute, as long as the window of the stage; empty without a window.
    tests: the states of the sequential tests, by name.
    idle_seconds: time since the rollout's percent `idle_step` was entered in which the stage was not in effect.
    unmeasured: by guard, the number of ticks in a row at which it could not be measured; early ones count in part.
    is_tick_noted: whether Redis had the number of a tick of this visit. If it has none later, it lost what was counted.
    lost: why measurements of this visit are missing; empty if none are.
    judgments: those of the last tick.
    """

    slot: int = -1
    steps: dict[int, Arms] = field(default_factory=dict)
    minutes: dict[int, Arms] = field(default_factory=dict)
    tests: dict[str, States] = field(default_factory=dict)
    idle_step: int = -1
    idle_seconds: float = 0.0
    unmeasured: dict[str, float] = field(default_factory=dict)
    is_tick_noted: bool = False
    lost: str = ""
    judgments: tuple[Judgment, ...] = ()

    @property
    def total(self) -> Arms:
        """The counts of the whole visit."""
        return reduce(add, self.steps.values()) if self.steps else Arms()

    def window(self) -> Arms:
        """Return the counts of the rolling window, or of the whole visit if the stage has none."""
        return reduce(add, self.minutes.values()) if self.minutes else self.total

    def idle_at(self, percent: int) -> float:
        """Return the seconds since the rollout has this percent in which the stage was not in effect."""
        return self.idle_seconds if percent == self.idle_step else 0.0


def state_name(rule: Rule, *, is_against_control: bool) -> str:
    """Return the name under which the state of a rule's test is kept. A changed limit begins a new test."""
    if is_against_control:
        return f"{rule.name} control {rule.tolerance:g} {rule.worse.value}"
    return f"{rule.name} limit {rule.at_most:g}"


def with_slot(
    record: VisitRecord, slot: int, steps: Steps, rules: Sequence[Rule], setting: Setting, window_minutes: float | None
) -> VisitRecord:
    """Return the record with the counts and the evidence of one closed slot.

    slot: its number; the caller includes each slot once, in order.
    steps: what was counted in it, by percent step.
    window_minutes: the length of the rolling window; None if the whole visit is judged.
    """
    tests = record.tests
    for arms in steps.values():
        tests = with_evidence(tests, arms, rules, setting)
    return replace(with_counts(record, slot, steps, window_minutes), slot=slot, tests=tests)


def with_counts(record: VisitRecord, slot: int, steps: Steps, window_minutes: float | None) -> VisitRecord:
    """Return the record with these counts, but without their evidence, for which a slot must be closed."""
    minutes: dict[int, Arms] = {}
    if window_minutes is not None:
        minute = slot // SLOTS_PER_MINUTE
        minutes = {number: arms for number, arms in record.minutes.items() if number >= minute - window_minutes}
        minutes[minute] = reduce(add, steps.values(), minutes.get(minute, Arms()))
    totals = dict(record.steps)
    for step, arms in steps.items():
        totals[step] = totals.get(step, Arms()) + arms
    return replace(record, steps=totals, minutes=minutes)


def with_evidence(
    tests: Mapping[str, States], arms: Arms, rules: Iterable[Rule], setting: Setting
) -> dict[str, States]:
    """Return the states of the tests after a closed slot with these counts. Tests of other rules are forgotten."""
    after: dict[str, States] = {}
    for rule in rules:
        bad, total = rule.bad_and_total(arms.candidate, setting.slow_bucket)
        if rule.guard in AGAINST_CONTROL and setting.stage is not Stage.DARK_MODE:
            control = rule.bad_and_total(arms.control, setting.slow_bucket)
            name = state_name(rule, is_against_control=True)
            after[name] = _against_control(tests.get(name), (bad, total), control, rule.tolerance, setting)
        if rule.guard in AGAINST_LIMIT and setting.is_endless:
            name = state_name(rule, is_against_control=False)
            after[name] = against_limit(tests.get(name), bad, total, rule)
    return after


def against_limit(state: States | None, bad: int, total: int, rule: Rule) -> States:
    """Return the state of an endless test against a limit, after these calls."""
    state = detection.NO_DETECTION if state is None else state
    return detection.detect_limit(state, bad, total, rule.limit_share)


def _against_control(
    state: States | None, candidate: tuple[int, int], control: tuple[int, int], tolerance: float, setting: Setting
) -> States:
    include = detection.detect_against if setting.is_endless else evidence.add_slot
    begin = detection.NO_DETECTION if setting.is_endless else evidence.NO_EVIDENCE
    return include(begin if state is None else state, *candidate, *control, tolerance)
