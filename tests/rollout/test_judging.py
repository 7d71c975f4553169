"""The verdicts of the guards, on the counts of a stage visit."""

import re
from dataclasses import replace

import pytest
from scipy.stats import binom

from rollout.choices import Comparison, Direction, Guard, Stage, Verdict
from rollout.decisions.counts import Arms, Counts, Moments
from rollout.decisions.guards import ALPHA, Rule, Setting, worst
from rollout.decisions.judging import Feeds, Measurements, judge
from rollout.decisions.latency import bucket_number
from rollout.decisions.record import VisitRecord
from rollout.decisions.trips import hard_limit
from rollout.decisions.wording import describe_judgment
from tests.rollout.visits import FULL, RULES, SHADOW, counts, judged, record_of

GOOD = Arms(counts(100, 2), counts(100))
PASSED, PENDING, VIOLATED, UNMEASURED = Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.VIOLATION, Verdict.ERROR


def verdict(guard: Guard, slots: list[Arms], setting: Setting = SHADOW, *, is_open: bool = False) -> Verdict:
    return judged(slots, setting, is_open=is_open)[guard.value].verdict


def test_each_stage_has_its_guards() -> None:
    """The rate of errors replaces the count after the first requests."""
    always = {"errors", "p95_ms", "hit_rate", "feed_health"}
    assert judged([GOOD], Setting(Stage.DISABLED)) == {}
    assert set(judged([GOOD], Setting(Stage.DARK_MODE))) == {*always, "traffic"}
    shadow = {*always, "traffic", "latency", "mismatch_rate"}
    assert set(judged([GOOD])) == shadow
    partial = Setting(Stage.PARTIAL_ACTIVE, 50)
    assert set(judged([GOOD], partial)) == {*always, "latency", "assignment"}
    assert set(judged([GOOD], FULL)) == always
    with_hold_back = replace(FULL, percent=95, is_compared=True)
    assert set(judged([GOOD], with_hold_back)) == {*always, "latency"}


def test_good_counts_pass() -> None:
    judgments = judged([GOOD])
    assert worst(judgments.values()) is PASSED
    hit_rate = judged([Arms(counts(100, hits=80, misses=20), counts(100))])["hit_rate"]
    assert (hit_rate.value, hit_rate.limit, hit_rate.samples, hit_rate.needed) == (0.8, 0.7, 100, 50)


@pytest.mark.parametrize(
    ("guard", "candidate"),
    [
        (Guard.ERRORS, counts(100, 6)),
        (Guard.P95_MS, counts(100, latencies={bucket_number(20): 70, bucket_number(2000): 30})),
        (Guard.HIT_RATE, counts(100, hits=30, misses=70)),
        (Guard.MISMATCH_RATE, counts(100, mismatches=20)),
    ],
)
def test_each_guard_can_be_violated(guard: Guard, candidate: Counts) -> None:
    verdicts = {name: each.verdict for name, each in judged([Arms(candidate, counts(100))]).items()}
    assert verdicts.pop(guard.value) is VIOLATED
    assert set(verdicts.values()) - {PENDING} == {PASSED}


def test_six_errors_are_a_violation_even_in_a_small_sample() -> None:
    assert verdict(Guard.ERRORS, [Arms(counts(6, 6))]) is VIOLATED


def test_the_hard_limit_rises_with_the_errors_of_control() -> None:
    assert hard_limit(5, 200, 0, 0) == hard_limit(5, 200, 10_000, 10) == 5
    assert 10 <= hard_limit(5, 200, 10_000, 200) <= 13
    assert hard_limit(5, None, 10_000, 200) == 5
    assert hard_limit(5, 200, 100, 100) == 200
    raised = judged([Arms(counts(100, 8))], replace(SHADOW, hard_limit=12))["errors"]
    assert (raised.verdict, raised.limit) == (PASSED, 12)
    assert "control's own errors" in raised.note


@pytest.mark.parametrize("control_requests", [600, 900, 9_000])
@pytest.mark.parametrize("rate", [0.001, 0.005, 0.01, 0.02, 0.05])
def test_the_hard_limit_allows_for_the_chance_in_controls_sample(control_requests: int, rate: float) -> None:
    """The probability that a candidate as good as control exceeds it is summed over all samples of control."""
    samples = range(int(binom.isf(1e-9, control_requests, rate)) + 1)
    limits = [hard_limit(5, 200, control_requests, errors) for errors in samples]
    exceeds = binom.pmf(samples, control_requests, rate) @ binom.sf(limits, 200, rate)
    assert exceeds <= ALPHA / 2


@pytest.mark.parametrize("arms", [Arms(), Arms(counts(24), counts(24))])
def test_a_small_sample_is_inconclusive_and_never_a_pass(arms: Arms) -> None:
    judgments = [each for name, each in judged([arms]).items() if name != "feed_health"]
    assert {judgment.verdict for judgment in judgments} == {PENDING}
    assert worst([]) is PENDING


def test_a_share_close_to_its_limit_neither_passes_nor_falls() -> None:
    """A point estimate over the limit is no evidence yet, and no reason to advance either."""
    almost = Arms(counts(200, hits=138, misses=62), counts(200))
    assert verdict(Guard.HIT_RATE, [almost]) is PENDING


def test_counts_that_are_missing_or_incomplete_are_an_error() -> None:
    unread = judge(list(RULES.values()), Measurements(None, VisitRecord(), None), SHADOW)
    assert {each.verdict for each in unread} == {UNMEASURED}
    assert worst(judged([GOOD], lost="Redis lost it").values()) is UNMEASURED
    assert verdict(Guard.ERRORS, [Arms(replace(counts(100), dropped=2))]) is UNMEASURED


def test_too_many_errors_are_a_violation_even_if_others_were_lost() -> None:
    judgments = judged([Arms(counts(6, 6), counts(6))], lost="Redis lost it")
    assert judgments["errors"].verdict is VIOLATED
    assert judgments["p95_ms"].verdict is UNMEASURED


def test_dropped_observations_of_control_are_an_error_because_it_would_look_better_than_it_is() -> None:
    failures_are_dropped = [Arms(counts(1000, bad=20), replace(counts(980), dropped=20))] * 3
    assert {verdict(guard, failures_are_dropped) for guard in (Guard.ERROR_RATE, Guard.TRAFFIC)} == {UNMEASURED}


def test_one_dropped_observation_of_many_blinds_nothing() -> None:
    assert worst(judged([Arms(replace(counts(1000), dropped=1), counts(1000))]).values()) is PASSED


def test_comparisons_that_failed_make_the_mismatch_rate_alone_unmeasurable() -> None:
    failing = Arms(counts(100, compared=0, uncompared=100), counts(100))
    judgments = judged([failing])
    assert judgments.pop("mismatch_rate").verdict is UNMEASURED
    assert UNMEASURED not in {each.verdict for each in judgments.values()}
    assert verdict(Guard.MISMATCH_RATE, [Arms(counts(1000, uncompared=2), counts(1000))]) is PASSED


def test_feeds_in_error_only_warn_unless_the_policy_is_stricter() -> None:
    strict = [RULES[Guard.TRAFFIC], Rule(Guard.FEED_HEALTH, 0.5, 1)]
    failing, unread = Feeds(12, 9), Feeds(problem="counting failed: ZeroDivisionError")
    assert worst(judged([GOOD], feeds=failing).values()) is PASSED
    assert worst(judged([GOOD], rules=strict, feeds=failing).values()) is VIOLATED
    for feeds in (None, unread):
        assert worst(judged([GOOD], rules=strict, feeds=feeds).values()) is UNMEASURED


def test_calls_that_had_no_probe_leave_dark_mode_to_the_traffic() -> None:
    dark = Setting(Stage.DARK_MODE)
    judgments = judged([Arms(Counts(), counts(60, alone=60))], dark)
    assert worst(judgments.values()) is PASSED
    assert {name for name, each in judgments.items() if each.is_binding} == {"traffic"}
    assert "gave no probe" in describe_judgment(judgments["hit_rate"])
    assert worst(judged([Arms(Counts(), counts(60))], dark).values()) is PENDING


def test_a_candidate_without_a_cache_is_not_held_by_the_hit_rate() -> None:
    judgments = judged([Arms(counts(60, hits=0), counts(60))])
    assert worst(judgments.values()) is PASSED
    assert judgments["hit_rate"].verdict is PENDING


@pytest.mark.parametrize("percent", [10, 50])
def test_errors_of_both_arms_take_nothing_back_and_the_candidates_own_do(percent: int) -> None:
    setting = Setting(Stage.PARTIAL_ACTIVE, percent)
    share = percent * 10
    healthy = [Arms(counts(share, share // 50), counts(1000 - share, (1000 - share) // 50))] * 60
    rate = judged(healthy, setting)["error_rate"]
    assert (rate.verdict, rate.comparison, rate.value) == (PASSED, Comparison.CONTROL, 0.02)
    assert rate.bound is not None
    assert 1 < rate.bound < 1.6
    broken = [Arms(counts(share, share // 25), counts(1000 - share, (1000 - share) // 50))] * 60
    assert judged(broken, setting)["error_rate"].verdict is VIOLATED


def test_a_bad_hour_of_both_arms_is_not_the_candidates() -> None:
    quiet, bad = Arms(counts(500, 1), counts(500, 1)), Arms(counts(500, 100), counts(500, 100))
    assert verdict(Guard.ERROR_RATE, [quiet] * 30 + [bad] * 30) is PASSED


def test_a_key_that_fails_again_and_again_holds_the_rollout_and_most_calls_take_it_back() -> None:
    """Its failures are one within the hour, so they are no evidence of their own."""

    def verdict_of(errors: int, control_errors: int = 0, setting: Setting = SHADOW) -> Verdict:
        control = Counts() if setting is FULL else counts(500, control_errors, failing=0)
        return verdict(Guard.ERROR_RATE, [Arms(counts(500, errors, failing=1), control)] * 3, setting)

    for setting in (SHADOW, FULL):
        assert verdict_of(2, setting=setting) is PASSED
        assert verdict_of(20, setting=setting) is PENDING
        assert verdict_of(300, setting=setting) is VIOLATED
    assert verdict_of(300, control_errors=280) is PASSED


def test_tolerance_allows_more_than_control() -> None:
    twice = [Arms(counts(500, 20), counts(500, 10))] * 60
    assert verdict(Guard.ERROR_RATE, twice) is VIOLATED
    tolerant = replace(RULES[Guard.ERROR_RATE], tolerance=2.5)
    assert judged(twice, rules=[tolerant])["error_rate"].verdict is PASSED


def test_without_control_the_rate_of_errors_has_a_limit() -> None:
    slots = [Arms(counts(100, 1))] * 10
    rate = judged(slots, FULL)["error_rate"]
    assert (rate.verdict, rate.comparison, rate.limit) == (PASSED, Comparison.LIMIT, 0.01)
    assert verdict(Guard.ERROR_RATE, [Arms(counts(100, 10))] * 10, FULL) is VIOLATED


def test_the_count_judges_first_and_the_rate_after_it() -> None:
    assert "error_rate" not in judged([Arms(counts(40, 1), counts(40))])
    late = judged([Arms(counts(300, 8), counts(300, 8))])
    assert "errors" not in late
    assert late["error_rate"].verdict is PASSED
    always = judged([Arms(counts(300, 8), counts(300, 8))], replace(SHADOW, first_requests=None))
    assert always["errors"].verdict is VIOLATED


def test_full_active_finds_a_change_that_comes_after_months() -> None:
    good, bad = Arms(counts(200)), Arms(counts(200, 20))
    slots = [good] * 5000
    assert verdict(Guard.ERROR_RATE, slots, FULL) is PASSED
    assert verdict(Guard.ERROR_RATE, [*slots, bad, bad, bad], FULL) is VIOLATED
    assert verdict(Guard.ERROR_RATE, [*slots, bad, bad, Arms(counts(400, 40))], FULL, is_open=True) is VIOLATED


def test_a_year_without_an_error_is_no_alarm() -> None:
    setting = replace(FULL, percent=95, is_compared=True)
    record = record_of([Arms(counts(10), counts(10))] * 1000, setting)
    state = record.tests["error_rate control 1 higher"]
    assert max(state) < 0


def test_latency_is_compared_with_control() -> None:
    fast, slow = bucket_number(20), bucket_number(60)
    control = counts(500, latencies={fast: 480, slow: 20})
    setting = replace(SHADOW, slow_bucket=fast)
    same = [Arms(control, control)] * 20
    assert verdict(Guard.LATENCY, same, setting) is PASSED
    slower = [Arms(counts(500, latencies={fast: 440, slow: 60}), control)] * 20
    assert verdict(Guard.LATENCY, slower, setting) is VIOLATED
    assert verdict(Guard.LATENCY, [Arms(counts(500, latencies={slow: 500}), control)] * 20) is VIOLATED  # no baseline


def test_keys_in_other_shares_than_intended_are_found() -> None:
    setting = Setting(Stage.PARTIAL_ACTIVE, 25)
    intended = [Arms(counts(250, keys=250), counts(750, keys=750))]
    assert verdict(Guard.ASSIGNMENT, intended, setting) is PASSED
    assert verdict(Guard.ASSIGNMENT, [Arms(counts(250, keys=400), counts(750, keys=600))], setting) is VIOLATED


def own(n: int, total: float, squares: float) -> Counts:
    return counts(n, own={"basket": Moments(n, total, squares)})


def test_a_guard_that_waits_for_samples_of_control_has_a_note_on_it() -> None:
    few = judged([Arms(counts(100), counts(3))])
    assert (few["latency"].verdict, few["latency"].note) == (PENDING, "control has 3 of 50 samples")
    assert judged([Arms(counts(10), counts(3))])["latency"].note == "", "the candidate has too few, too"


def test_shares_and_means_of_own_metrics_are_compared_with_control() -> None:
    refunds = Rule(Guard.OWN_SHARE, metric="is_refund")
    few, many = (counts(500, own={"is_refund": Moments(500, bad, bad)}) for bad in (10, 40))
    assert judged([Arms(few, few)] * 10, rules=[refunds])["is_refund"].verdict is PASSED
    assert judged([Arms(many, few)] * 10, rules=[refunds])["is_refund"].verdict is VIOLATED
    baskets = Rule(Guard.OWN_MEAN, metric="basket", worse=Direction.LOWER)
    high, low = own(500, 6000, 80_000), own(500, 5000, 60_000)
    assert judged([Arms(high, high)] * 10, rules=[baskets])["basket"].verdict is PASSED
    assert judged([Arms(high, low)] * 10, rules=[baskets])["basket"].verdict is PASSED
    fallen = judged([Arms(low, high)] * 10, rules=[baskets])["basket"]
    assert (fallen.verdict, fallen.value, fallen.control) == (VIOLATED, 10, 12)
    assert re.fullmatch(r"at least [\d.]+ lower than control", fallen.note)
    tolerant = replace(baskets, tolerance=1.5)
    assert judged([Arms(low, high)] * 10, rules=[tolerant])["basket"].verdict is PASSED
