"""Latencies in buckets."""

import math

from hypothesis import given
from hypothesis import strategies as st

from rollout.decisions.latency import GROWTH, LARGEST_BUCKET, bound_ms, bucket_number, percentile_ms


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
