"""Verdicts from counts."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.choices import Consequence, Guard, Stage, Verdict
from rollout.decisions.guards import ALPHA, Counts, Judged, Limit, Measured, judge, worst
from rollout.decisions.latency import GROWTH, bound_ms, bucket, percentile

LIMITS = {
    Guard.ERRORS: Limit(5),
    Guard.P95_MS: Limit(1000),
    Guard.HIT_RATE: Limit(0.3),
    Guard.ERROR_RATE: Limit(ALPHA),
    Guard.MISMATCH_RATE: Limit(0.01),
    Guard.FEED_HEALTH: Limit(0.5, min_samples=1, leads=Consequence.WARN),
}
GOOD = Counts(requests=100, errors=2, hits=80, misses=20, compared=100, latencies={bucket(20): 100})


def judged(
    stage: Stage, counts: Counts | None = GOOD, control: Counts = Counts(), **more: Limit
) -> dict[Guard, Judged]:
    limits = LIMITS | {Guard(name): limit for name, limit in more.items()}
    return {one.guard: one for one in judge(stage, Measured(counts, control, (12, 0)), limits)}


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
        (Guard.P95_MS, replace(GOOD, latencies={bucket(20): 94, bucket(2000): 6})),
        (Guard.HIT_RATE, replace(GOOD, hits=69, misses=31)),
        (Guard.MISMATCH_RATE, replace(GOOD, mismatches=2)),
    ],
)
def test_each_can_fall(guard: Guard, counts: Counts) -> None:
    verdicts = {name: one.verdict for name, one in judged(Stage.SHADOW_MODE, counts).items()}
    assert verdicts.pop(guard) is Verdict.VIOLATION
    assert set(verdicts.values()) == {Verdict.PASS}


def test_six_errors_are_a_violation_whatever_the_sample() -> None:
    few = Counts(requests=6, errors=6)
    assert judged(Stage.SHADOW_MODE, few)[Guard.ERRORS].verdict is Verdict.VIOLATION


@pytest.mark.parametrize("counts", [Counts(), Counts(49, 0, 49, 0, 49, 0, 0, {3: 49})])
def test_too_little_is_inconclusive_never_a_pass(counts: Counts) -> None:
    found = judged(Stage.SHADOW_MODE, counts)
    binding = [one.verdict for one in found.values() if one.guard is not Guard.FEED_HEALTH]
    assert set(binding) == {Verdict.INCONCLUSIVE}
    assert worst([]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("counts", [None, replace(GOOD, dropped=1)])
def test_what_cannot_be_measured_is_an_error(counts: Counts | None) -> None:
    assert worst(judged(Stage.SHADOW_MODE, counts).values()) is Verdict.ERROR


def test_a_guard_can_be_turned_off() -> None:
    assert Guard.HIT_RATE not in judged(Stage.SHADOW_MODE, hit_rate=Limit(0.3, is_on=False))


def test_feeds_in_error_only_warn_unless_the_policy_says_more() -> None:
    measured = Measured(GOOD, feeds=(12, 9))
    assert worst(judge(Stage.DARK_MODE, measured, LIMITS)) is Verdict.PASS
    strict = LIMITS | {Guard.FEED_HEALTH: Limit(0.5, 1)}
    assert worst(judge(Stage.DARK_MODE, measured, strict)) is Verdict.VIOLATION
    assert worst(judge(Stage.DARK_MODE, Measured(GOOD, feeds=None), strict)) is Verdict.ERROR


def test_the_relative_guard_takes_over_from_the_count_once_it_has_its_sample() -> None:
    busy = replace(GOOD, requests=20_000, errors=100)  # half a percent, as control
    control = Counts(requests=20_000, errors=100)
    assert judged(Stage.FULL_ACTIVE, busy, Counts(40, 0))[Guard.ERRORS].verdict is Verdict.VIOLATION
    found = judged(Stage.FULL_ACTIVE, busy, control)
    assert Guard.ERRORS not in found
    assert (found[Guard.ERROR_RATE].verdict, found[Guard.ERROR_RATE].value) == (Verdict.PASS, 0.005)
    sick = replace(GOOD, requests=400, errors=20)
    assert judged(Stage.FULL_ACTIVE, sick, control)[Guard.ERROR_RATE].verdict is Verdict.VIOLATION


@given(st.floats(0.001, 1e7))
def test_a_bucket_holds_its_latency(ms: float) -> None:
    number = bucket(ms)
    assert ms <= bound_ms(number) * (1 + 1e-6) or number == 150
    assert number == 0 or ms > bound_ms(number - 1) * (1 - 1e-6)
    assert bucket(bound_ms(number)) == number


@given(st.lists(st.floats(0.1, 60_000), min_size=1, max_size=200))
def test_a_percentile_is_at_most_a_tenth_too_high(latencies: list[float]) -> None:
    counts: dict[int, int] = {}
    for ms in latencies:
        counts[bucket(ms)] = counts.get(bucket(ms), 0) + 1
    exact = sorted(latencies)[math.ceil(0.95 * len(latencies)) - 1]
    found = percentile(counts, 0.95)
    assert found is not None
    assert exact * (1 - 1e-6) <= found <= exact * GROWTH * (1 + 1e-6)
