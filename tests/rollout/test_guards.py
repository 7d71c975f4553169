"""The verdicts of the guards, from counts."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.choices import Consequence, Guard, Stage, Verdict
from rollout.decisions.guards import ALPHA, Counts, Judgment, Limit, Measurements, judge, worst
from rollout.decisions.latency import GROWTH, LARGEST_BUCKET, bound_ms, bucket_number, percentile_ms

LIMITS = {
    Guard.ERRORS: Limit(5),
    Guard.P95_MS: Limit(1000),
    Guard.HIT_RATE: Limit(0.3),
    Guard.ERROR_RATE: Limit(ALPHA),
    Guard.MISMATCH_RATE: Limit(0.01),
    Guard.FEED_HEALTH: Limit(0.5, min_samples=1, leads=Consequence.WARN),
}
GOOD = Counts(requests=100, errors=2, hits=80, misses=20, compared=100, latencies={bucket_number(20): 100})


def judged(
    stage: Stage, counts: Counts | None = GOOD, control: Counts = Counts(), limits: dict[Guard, Limit] = LIMITS
) -> dict[Guard, Judgment]:
    """Return the judgments of the stage by guard, with 12 watched feeds and none of them in error."""
    measurements = Measurements(counts, control, feeds=(12, 0))
    return {judgment.guard: judgment for judgment in judge(stage, measurements, limits)}


def test_each_stage_has_its_guards() -> None:
    feeds = Guard.FEED_HEALTH
    assert set(judged(Stage.DISABLED)) == set()
    assert set(judged(Stage.DARK_MODE)) == {Guard.HIT_RATE, feeds}
    candidate = {Guard.ERRORS, Guard.P95_MS, Guard.HIT_RATE, feeds}
    assert set(judged(Stage.SHADOW_MODE)) == candidate | {Guard.MISMATCH_RATE}
    assert set(judged(Stage.PARTIAL_ACTIVE)) == set(judged(Stage.FULL_ACTIVE)) == candidate


def test_good_counts_pass() -> None:
    assert worst(judged(Stage.SHADOW_MODE).values()) is Verdict.PASS
    hit_rate = judged(Stage.SHADOW_MODE)[Guard.HIT_RATE]
    assert (hit_rate.value, hit_rate.limit, hit_rate.samples) == (0.8, 0.7, 100)


@pytest.mark.parametrize(
    ("guard", "counts"),
    [
        (Guard.ERRORS, replace(GOOD, errors=6)),
        (Guard.P95_MS, replace(GOOD, latencies={bucket_number(20): 94, bucket_number(2000): 6})),
        (Guard.HIT_RATE, replace(GOOD, hits=69, misses=31)),
        (Guard.MISMATCH_RATE, replace(GOOD, mismatches=2)),
    ],
)
def test_each_guard_can_be_violated(guard: Guard, counts: Counts) -> None:
    verdicts = {each: judgment.verdict for each, judgment in judged(Stage.SHADOW_MODE, counts).items()}
    assert verdicts.pop(guard) is Verdict.VIOLATION
    assert set(verdicts.values()) == {Verdict.PASS}


def test_six_errors_are_a_violation_even_in_a_small_sample() -> None:
    few = Counts(requests=6, errors=6)
    assert judged(Stage.SHADOW_MODE, few)[Guard.ERRORS].verdict is Verdict.VIOLATION


@pytest.mark.parametrize("counts", [Counts(), Counts(49, 0, 49, 0, 49, 0, 0, {3: 49})])
def test_a_small_sample_is_inconclusive_and_never_a_pass(counts: Counts) -> None:
    judgments = judged(Stage.SHADOW_MODE, counts)
    verdicts = [judgment.verdict for judgment in judgments.values() if judgment.guard is not Guard.FEED_HEALTH]
    assert set(verdicts) == {Verdict.INCONCLUSIVE}
    assert worst([]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("counts", [None, replace(GOOD, dropped=1)])
def test_counts_that_are_missing_or_incomplete_are_an_error(counts: Counts | None) -> None:
    assert worst(judged(Stage.SHADOW_MODE, counts).values()) is Verdict.ERROR


def test_a_guard_can_be_switched_off() -> None:
    limits = LIMITS | {Guard.HIT_RATE: Limit(0.3, is_on=False)}
    assert Guard.HIT_RATE not in judged(Stage.SHADOW_MODE, limits=limits)


def test_feeds_in_error_only_warn_unless_the_policy_is_stricter() -> None:
    measurements = Measurements(GOOD, feeds=(12, 9))
    assert worst(judge(Stage.DARK_MODE, measurements, LIMITS)) is Verdict.PASS
    strict = LIMITS | {Guard.FEED_HEALTH: Limit(0.5, 1)}
    assert worst(judge(Stage.DARK_MODE, measurements, strict)) is Verdict.VIOLATION
    assert worst(judge(Stage.DARK_MODE, Measurements(GOOD, feeds=None), strict)) is Verdict.ERROR


def test_the_relative_guard_replaces_the_count_once_it_has_its_sample() -> None:
    busy = replace(GOOD, requests=20_000, errors=100)  # half a percent, like control
    control = Counts(requests=20_000, errors=100)
    assert judged(Stage.FULL_ACTIVE, busy, Counts(40, 0))[Guard.ERRORS].verdict is Verdict.VIOLATION
    judgments = judged(Stage.FULL_ACTIVE, busy, control)
    assert Guard.ERRORS not in judgments
    relative = judgments[Guard.ERROR_RATE]
    assert (relative.verdict, relative.value) == (Verdict.PASS, 0.005)
    broken = replace(GOOD, requests=400, errors=20)
    assert judged(Stage.FULL_ACTIVE, broken, control)[Guard.ERROR_RATE].verdict is Verdict.VIOLATION


@given(st.floats(0.001, 1e7))
def test_a_bucket_holds_its_latency(ms: float) -> None:
    number = bucket_number(ms)
    assert ms <= bound_ms(number) * (1 + 1e-6) or number == LARGEST_BUCKET == 150
    assert number == 0 or ms > bound_ms(number - 1) * (1 - 1e-6)
    assert bucket_number(bound_ms(number)) == number


@given(st.lists(st.floats(0.1, 60_000), min_size=1, max_size=200))
def test_a_percentile_is_at_most_a_tenth_too_high(latencies: list[float]) -> None:
    counts: dict[int, int] = {}
    for ms in latencies:
        counts[bucket_number(ms)] = counts.get(bucket_number(ms), 0) + 1
    exact = sorted(latencies)[math.ceil(0.95 * len(latencies)) - 1]
    estimate = percentile_ms(counts, 0.95)
    assert estimate is not None
    assert exact * (1 - 1e-6) <= estimate <= exact * GROWTH * (1 + 1e-6)
