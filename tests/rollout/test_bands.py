"""The bands of the latencies: a slower candidate is found, an equal one is not, at any number of looks."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from rollout.decisions.latency import LARGEST_BUCKET, bucket_number
from rollout.decisions.statistics.bands import band, slowdown

ALPHA = 0.05
COUNTS = st.dictionaries(st.integers(0, LARGEST_BUCKET), st.integers(1, 2000), max_size=8)
Counts = dict[int, int]


@given(COUNTS, COUNTS)
@settings(deadline=None)
def test_it_finds_the_largest_gap_between_the_distributions_as_scipy_does(candidate: Counts, control: Counts) -> None:
    found = slowdown(candidate, control, ALPHA)
    if not candidate or not control:
        assert found is None
        return
    samples = [np.repeat(list(counts), list(counts.values())) for counts in (candidate, control)]
    theirs = float(stats.ks_2samp(*samples, alternative="less", method="asymp").statistic)
    needed = sum(band(sum(counts.values()), ALPHA / 2) for counts in (candidate, control))
    assume(not math.isclose(theirs, needed))
    assert (found is not None) is (theirs > needed)
    if found is not None:
        assert found.control_share - found.candidate_share == pytest.approx(theirs)
        assert found.candidate_share == pytest.approx(float((samples[0] <= found.bucket).mean()))


@given(COUNTS, COUNTS, st.integers(0, 40))
def test_only_the_order_of_the_latencies_counts(candidate: Counts, control: Counts, shift: int) -> None:
    found = slowdown(candidate, control, ALPHA)
    slower, control_slower = ({b + shift: n for b, n in counts.items()} for counts in (candidate, control))
    moved = slowdown(slower, control_slower, ALPHA)
    assert (found is None) is (moved is None)
    if found and moved:
        assert (moved.bucket, moved.candidate_share) == (found.bucket + shift, found.candidate_share)


@given(COUNTS, COUNTS)
def test_a_lower_level_finds_less_and_a_candidate_that_is_as_fast_or_faster_is_not_slower(
    candidate: Counts, control: Counts
) -> None:
    if slowdown(candidate, control, ALPHA / 10):
        assert slowdown(candidate, control, ALPHA)
    assert slowdown(candidate, candidate, ALPHA) is None
    assert slowdown({0: sum(candidate.values())}, control, ALPHA) is None


def calls(median_ms: float, chance: np.random.Generator, number: int) -> list[int]:
    return [bucket_number(ms) for ms in chance.lognormal(math.log(median_ms), 0.5, number).tolist()]


def first_alarm(median_ms: float, seed: int, looks: int = 20) -> int | None:
    """Return the number of the look, made every 50 calls of each arm, that finds the candidate slower than 20 ms."""
    chance = np.random.default_rng(seed)
    candidate, control = Counter[int](), Counter[int]()
    for look in range(1, looks + 1):
        candidate.update(calls(median_ms, chance, 50))
        control.update(calls(20, chance, 50))
        if slowdown(candidate, control, ALPHA):
            return look
    return None


def test_an_equal_candidate_is_not_slower_and_one_of_the_double_latency_is_at_any_look() -> None:
    assert sum(first_alarm(20, seed) is not None for seed in range(60)) <= ALPHA * 60
    assert all(first_alarm(40, seed) for seed in range(20))


def test_it_names_the_latency_at_which_the_arms_differ_most() -> None:
    found = slowdown({30: 500, 60: 500}, {30: 1000}, ALPHA)
    assert found is not None
    assert (found.bucket, found.candidate_share, found.control_share) == (30, 0.5, 1.0)


def test_a_band_is_as_wide_as_in_the_package_of_its_authors() -> None:
    """Confseq 0.0.11 solves for the constant C that the paper rounds up; its tests state the bound for t >= 100."""
    theirs_from_100 = 0.08204769
    c = (theirs_from_100 / 0.85) ** 2 * 1000 - math.log(1 + math.log(1000 / 100))
    theirs = 0.85 * math.sqrt((math.log(1 + math.log(1000)) + c) / 1000)
    assert theirs <= band(1000, 0.05) <= 1.02 * theirs


@given(st.integers(1, 10**9), st.sampled_from([0.1, 0.001]))
def test_a_band_is_wider_than_that_of_a_single_look_and_narrows(total: int, alpha: float) -> None:
    """The inequality of Dvoretzky, Kiefer and Wolfowitz, with the constant of Massart, is the one for a single look."""
    assert math.sqrt(math.log(2 / alpha) / 2 / total) < band(total, alpha) < 12 * math.sqrt(1 / total)
    assert band(total + 1, alpha) < band(total, alpha)
