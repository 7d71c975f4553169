"""The first violation of each guard in simulated stage visits: by formulas for all runs at once, and by `judge`.

Both return the number of the look, from 1, or 0 for none. `bench/guards.py` asserts that they are equal.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench import _evidence as formulas
from bench._stage import Array, Counts, Looks
from rollout.choices import Guard, Stage, Verdict
from rollout.decisions.counts import Arms
from rollout.decisions.counts import Counts as ArmCounts
from rollout.decisions.guards import ALPHA, FIRST_REQUESTS, Rule, Setting, guards_of
from rollout.decisions.judging import UNTESTED, Measurements, judge
from rollout.decisions.record import VisitRecord, with_counts, with_slot
from rollout.decisions.statistics import detection

WINDOW_MINUTES = 10
First = dict[str, Counts]


def first_trips(looks: Looks) -> Counts:
    """Return the first look at which the script in Redis has counted more errors than the hard limit allows."""
    return formulas.first_slots(looks.first_errors.cumsum(axis=1) - looks.hard_limit[:, None], 1)


def first_violations(looks: Looks, rules: Sequence[Rule]) -> First:
    """Return the first violation of each guard that is judged, of shape (runs,)."""
    guards = guards_of(looks.scenario.stage, has_hold_back=looks.scenario.is_compared)
    present = {rule.guard: rule for rule in rules if rule.guard in guards}
    tests = _Tests(looks, max(1, sum(guard not in UNTESTED for guard in present)))
    is_first = looks.total.cumsum(axis=1) <= FIRST_REQUESTS
    errors = (looks.errors, looks.total)
    violated = {
        Guard.ERRORS: is_first & (looks.errors.cumsum(axis=1) > looks.hard_limit[:, None]),
        Guard.ERROR_RATE: ~is_first & tests.against_control(errors, (looks.control_errors, looks.control_total))
        if looks.scenario.is_compared
        else ~is_first & tests.against_limit(errors, present[Guard.ERROR_RATE]),
        Guard.P95_MS: tests.against_limit((looks.slower_than(1000), looks.total), present[Guard.P95_MS]),
        Guard.HIT_RATE: tests.against_limit((looks.misses, looks.total), present[Guard.HIT_RATE]),
    }
    if Guard.MISMATCH_RATE in present:
        mismatches = (looks.mismatches, looks.total)
        violated[Guard.MISMATCH_RATE] = tests.against_limit(mismatches, present[Guard.MISMATCH_RATE])
    if Guard.LATENCY in present:
        violated[Guard.LATENCY] = tests.of_latencies()
    return {guard.value: formulas.first_slots(each, 1) for guard, each in violated.items()}


class _Tests:
    """The tests of a visit's looks. Each returns an array of bools of the shape (runs, looks).

    guards: the number of guards that share the level.
    """

    def __init__(self, looks: Looks, guards: int) -> None:
        self._looks, self._is_endless = looks, looks.scenario.stage is Stage.FULL_ACTIVE
        self._alpha = ALPHA / guards
        self._threshold = math.log(guards * detection.SLOTS_PER_YEAR if self._is_endless else guards / ALPHA)

    def against_limit(self, counts: tuple[Counts, Counts], rule: Rule) -> NDArray[np.bool_]:
        """Test bad and all calls against the rule's limit; the counts of the open slot are included."""
        bad, total = counts
        if not self._is_endless:
            ratios = formulas.limit_ratios(bad.cumsum(axis=1), total.cumsum(axis=1), rule.limit_share)
            return np.asarray(formulas.log_mean(ratios) >= self._threshold)
        closed_bad = _slots(bad)
        closed = formulas.states_at_each_slot(
            formulas.limit_ratios(closed_bad, _slots(total), rule.limit_share), closed_bad
        )
        half = formulas.limit_ratios(bad[:, ::2], total[:, ::2], rule.limit_share)
        before = np.concatenate([np.full_like(closed[:, :1], -detection.EXTREME), closed[:, :-1]], axis=1)
        values = np.empty(bad.shape)
        values[:, ::2] = formulas.log_mean(formulas.advance(before, half, bad[:, ::2]))
        values[:, 1::2] = formulas.log_mean(closed)
        return np.asarray(values >= self._threshold)

    def against_control(
        self, candidate: tuple[Counts, Counts], control: tuple[Counts, Counts], tests: int = 1
    ) -> NDArray[np.bool_]:
        """Test bad and all calls of both arms, in closed slots. tests: the number of those that share the level."""
        bad, total, control_bad, control_total = map(_slots, (*candidate, *control))
        ratios = formulas.control_ratios(bad, total, control_bad, control_total, 1.0)
        if self._is_endless:
            values = formulas.detection_at_each_slot(ratios, np.where(control_total > 0, bad, 0))
        else:
            values = formulas.evidence_at_each_slot(ratios)
        return _at_looks(values) >= self._threshold + math.log(tests)

    def of_latencies(self) -> NDArray[np.bool_]:
        """Test the calls that are slower than control's 95th percentile before, and the whole distributions."""
        looks = self._looks
        is_slow = np.arange(looks.latencies.shape[2]) > looks.slow[:, None, None]
        arms = looks.latencies, looks.control_latencies
        slow, control_slow = (np.where(is_slow, each, 0).sum(axis=2) for each in arms)
        shown = self.against_control((slow, looks.total), (control_slow, looks.control_total), tests=2)
        percents = looks.scenario.percents()
        with np.errstate(divide="ignore", invalid="ignore"):  # an arm without a call is never slower
            for number, percent in enumerate(dict.fromkeys(percents.tolist()), 1):
                candidate, control = (np.where((percents == percent)[:, None], each, 0).cumsum(axis=1) for each in arms)
                shown = shown | formulas.is_slower(candidate, control, self._alpha / 2 / (number * (number + 1)))
        return shown


def _slots(counts: Counts) -> Counts:
    """Return the counts of the closed slots, of two looks each."""
    return np.asarray(counts.reshape(len(counts), -1, 2).sum(axis=2))


def _at_looks(values: Array) -> Array:
    """Return at each look the value of the newest closed slot."""
    return np.repeat(np.concatenate([np.full((len(values), 1), -np.inf), values], axis=1), 2, axis=1)[:, 1:-1]


def judge_run(looks: Looks, run: int, rules: Sequence[Rule]) -> dict[str, int]:
    """Return the first look at which `judge` returns a violation of each guard, for one run."""
    scenario, first = looks.scenario, dict.fromkeys((rule.name for rule in rules), 0)
    window = WINDOW_MINUTES if scenario.stage is Stage.FULL_ACTIVE else None
    record, opened = VisitRecord(), Arms()
    for look, percent in enumerate(scenario.percents().tolist()):
        setting = Setting(
            scenario.stage,
            percent,
            scenario.is_compared,
            hard_limit=int(looks.hard_limit[run]),
            slow_bucket=scenario.latencies.buckets()[looks.slow[run]],
        )
        slot, is_closed = divmod(look, 2)
        opened = opened + _arms(looks, run, look)
        if is_closed:
            record, opened = with_slot(record, slot, {percent: opened}, rules, setting, window), Arms()
        now = record if is_closed else with_counts(record, slot, {percent: opened}, window)
        for judgment in judge(rules, Measurements(record, now), setting):
            if judgment.verdict is Verdict.VIOLATION:
                first[judgment.name] = first[judgment.name] or look + 1
    return first


def _arms(looks: Looks, run: int, look: int) -> Arms:
    total, control_total = int(looks.total[run, look]), int(looks.control_total[run, look])
    errors, control_errors = int(looks.errors[run, look]), int(looks.control_errors[run, look])
    misses = int(looks.misses[run, look])
    candidate = ArmCounts(
        requests=total,
        errors=errors,
        failing=errors,
        hits=total - misses,
        misses=misses,
        compared=total,
        mismatches=int(looks.mismatches[run, look]),
        latencies=_by_bucket(looks, looks.latencies[run, look]),
    )
    control = ArmCounts(
        requests=control_total,
        errors=control_errors,
        failing=control_errors,
        latencies=_by_bucket(looks, looks.control_latencies[run, look]),
    )
    return Arms(candidate, control)


def _by_bucket(looks: Looks, counts: Counts) -> dict[int, int]:
    pairs = zip(looks.scenario.latencies.buckets(), counts.tolist(), strict=True)
    return {bucket: count for bucket, count in pairs if count}
