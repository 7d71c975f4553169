"""The verdicts of the guards if the traffic is uneven: arms that alternate, shares and values that change."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rollout.choices import Direction, Guard, Stage, Verdict
from rollout.decisions.counts import Arms, Counts, Moments
from rollout.decisions.guards import Judgment, Rule, Setting
from rollout.decisions.judging import Measurements, judge
from rollout.decisions.latency import bucket_number
from rollout.decisions.record import VisitRecord, with_counts, with_slot
from tests.rollout.visits import NO_FEED_FAILS, RULES, SHADOW, counts, judged

BASKETS = Rule(Guard.OWN_MEAN, metric="basket")


def judged_in_steps(slots: Sequence[tuple[int, Arms]], rule: Rule) -> Judgment:
    """Return the judgment at the end of PARTIAL_ACTIVE.

    slots: the percent step and the counts of each slot.
    """
    record = VisitRecord()
    for number, (percent, arms) in enumerate(slots):
        setting = Setting(Stage.PARTIAL_ACTIVE, percent, is_compared=percent < 100, slow_bucket=bucket_number(20))
        record = with_slot(record, number, {percent: arms}, [rule], setting, None)
    [judgment] = judge([rule], Measurements(record, record, NO_FEED_FAILS), setting)
    return judgment


def own(n: int, mean: float, variance: float = 0.0) -> Counts:
    return counts(n, own={"basket": Moments(n, n * mean, n * (mean**2 + variance))})


def test_a_candidate_that_never_answers_beside_control_does_not_pass_with_more_errors() -> None:
    alternating = [Arms(candidate=counts(100, 50)), Arms(control=counts(100))]
    rate = judged([Arms(counts(300), counts(300)), *alternating * 20], Setting(Stage.PARTIAL_ACTIVE, 50))["error_rate"]
    assert rate.verdict is Verdict.INCONCLUSIVE
    good = [Arms(candidate=counts(100, 2)), Arms(control=counts(100, 2))]
    assert judged(good * 20, Setting(Stage.PARTIAL_ACTIVE, 50))["error_rate"].verdict is Verdict.PASS


def test_a_step_that_leaves_no_key_to_control_has_the_fixed_limit() -> None:
    slots = [(50, Arms(counts(100), counts(100)))] * 10
    assert judged_in_steps([*slots, (100, Arms(counts(200)))], RULES[Guard.ERROR_RATE]).verdict is Verdict.PASS
    fails = [*slots, *[(100, Arms(counts(200, 100)))] * 10]
    assert judged_in_steps(fails, RULES[Guard.ERROR_RATE]).verdict is Verdict.VIOLATION


@pytest.mark.parametrize("slower", [1, 3])
def test_latencies_that_rise_in_both_arms_are_not_the_candidates(slower: float) -> None:
    def timed(requests: int, ms: float) -> Counts:
        return counts(requests, latencies={bucket_number(ms): requests})

    slots = [
        (percent, Arms(timed(5 * percent, ms * slower), timed(500 - 5 * percent, ms)))
        for percent, ms in ((10, 5), (25, 10), (50, 60))
        for _ in range(40)
    ]
    verdict = judged_in_steps(slots, Rule(Guard.LATENCY)).verdict
    assert verdict is (Verdict.PASS if slower == 1 else Verdict.VIOLATION)


@pytest.mark.parametrize("excess", [0, 0.3])
def test_means_that_rise_in_both_arms_are_not_the_candidates(excess: float) -> None:
    slots = [
        (percent, Arms(own(2 * percent, mean + excess, 1), own(200 - 2 * percent, mean, 1)))
        for percent, mean in ((10, 5), (25, 6), (50, 7))
        for _ in range(40)
    ]
    verdict = judged_in_steps(slots, BASKETS).verdict
    assert verdict is (Verdict.VIOLATION if excess else Verdict.PASS)


def test_a_constant_that_is_worse_than_control_does_not_pass() -> None:
    """A sample of equal values does not show how much they vary, so it is no violation either."""
    for control in (own(500, 1), own(500, 1, variance=4)):
        assert judged([Arms(own(500, 9), control)], rules=[BASKETS])["basket"].verdict is Verdict.INCONCLUSIVE
        fewer = replace(BASKETS, worse=Direction.LOWER)
        assert judged([Arms(own(500, 9), control)], rules=[fewer])["basket"].verdict is Verdict.PASS
    assert judged([Arms(own(500, 1), own(500, 1))], rules=[BASKETS])["basket"].verdict is Verdict.PASS


def test_a_window_ends_with_its_time_and_with_its_policy() -> None:
    rules, setting = list(RULES.values()), replace(SHADOW, first_requests=None)
    record = with_slot(VisitRecord(), 0, {0: Arms(counts(100), counts(100))}, rules, setting, 10)
    assert record.window().candidate.requests == 100
    assert with_counts(record, 7 * 60, {}, 10).window().candidate.requests == 0
    later = with_slot(record, 60, {0: Arms(counts(50), counts(50))}, rules, setting, None)
    assert later.window().candidate.requests == 150
