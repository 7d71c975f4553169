"""The bounds of a share and of a ratio: they hold at every look, agree with their tests, and are not too wide."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq
from scipy.special import logsumexp
from ville import BernoulliCS

from rollout.decisions.statistics.bounds import ratio_bound, upper_bound
from rollout.decisions.statistics.evidence import MULTIPLES

ALPHA = 0.05
LEVELS = st.sampled_from([0.1, 0.01, 0.001])
SAMPLES = st.tuples(st.integers(1, 10**6), st.floats(0, 1)).map(lambda drawn: (int(drawn[0] * drawn[1]), drawn[0]))


def mirrored_evidence(bad: int, total: int, share: float) -> float:
    """Return the logarithm of the mean likelihood ratio of lower shares to `share`, by another formula."""
    odds = share / (1 - share) / np.array(MULTIPLES)
    lower = odds / (1 + odds)
    return float(logsumexp(stats.binom.logpmf(bad, total, lower) - stats.binom.logpmf(bad, total, share)) - math.log(7))


@given(SAMPLES, LEVELS)
@settings(deadline=None)
def test_the_bound_is_the_share_at_which_the_evidence_reaches_its_level(sample: tuple[int, int], alpha: float) -> None:
    bad, total = sample
    bound = upper_bound(bad, total, alpha)
    assert bad / total <= bound <= 1
    if bound < 1 - 1e-9:
        level = -math.log(alpha)
        root = brentq(lambda share: mirrored_evidence(bad, total, share) - level, max(bad / total, 1e-12), 1 - 1e-12)
        assert bound == pytest.approx(root, rel=1e-6)


@given(SAMPLES, LEVELS)
@settings(deadline=None)
def test_no_bound_is_below_the_exact_one_of_a_single_look(sample: tuple[int, int], alpha: float) -> None:
    """The bound of Clopper and Pearson is the lowest that holds for a single look."""
    bad, total = sample
    exact = float(stats.beta.ppf(1 - alpha, bad + 1, total - bad)) if bad < total else 1.0
    assert upper_bound(bad, total, alpha) >= exact - 1e-9


@given(SAMPLES, LEVELS)
@settings(deadline=None)
def test_bad_requests_raise_the_bound_and_good_ones_and_a_lower_confidence_lower_it(
    sample: tuple[int, int], alpha: float
) -> None:
    bad, total = sample
    bound = upper_bound(bad, total, alpha)
    assert upper_bound(bad + 1, total + 1, alpha) >= bound - 1e-12
    assert upper_bound(bad, total + 1, alpha) <= bound + 1e-12
    assert upper_bound(bad, total, 2 * alpha) <= bound + 1e-12


def test_a_small_share_is_known_about_as_well_as_by_the_bound_of_another_author() -> None:
    stream = np.zeros(4000)
    stream[::100] = 1
    [(_, theirs)] = [BernoulliCS(alpha=2 * ALPHA, intersect=False).fit(stream).interval()]
    assert upper_bound(40, 4000, ALPHA) < 1.1 * theirs


def test_a_billion_requests_have_a_bound_and_an_empty_sample_has_none() -> None:
    assert upper_bound(0, 0, ALPHA) == upper_bound(1, 1, ALPHA) == 1
    assert 0.01 < upper_bound(10**7, 10**9, ALPHA) < 0.0113
    assert 0 < upper_bound(0, 10**9, ALPHA) < 6e-9
    assert upper_bound(10**9, 10**9, ALPHA) == 1


@pytest.mark.parametrize("rate", [0.004, 0.1, 0.6])
def test_the_bound_holds_at_every_look(rate: float) -> None:
    totals = 50 * np.arange(1, 41)
    bad = np.random.default_rng(2).binomial(50, rate, (400, 40)).cumsum(axis=1)
    bounds = [[upper_bound(int(x), int(n), ALPHA) for x, n in zip(row, totals, strict=True)] for row in bad]
    assert float((np.array(bounds) < rate).any(axis=1).mean()) <= ALPHA


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_the_bound_of_a_ratio_holds_at_every_look_though_the_split_of_each_slot_is_random(ratio: float) -> None:
    chance = np.random.default_rng(4)
    failures = 0
    for _ in range(100):
        steps: list[tuple[int, int, int, int]] = []
        is_missed = False
        for share in (0.1, 0.5):
            total = chance.binomial(200, share, 12)
            bad, control_bad = chance.binomial(total, 0.05 * ratio), chance.binomial(200 - total, 0.05)
            columns = [column.tolist() for column in (bad, total, control_bad, 200 - total)]
            for look in range(4, 13, 4):
                x, n, y, n_control = (sum(column[:look]) for column in columns)
                is_missed |= ratio_bound([*steps, (x, n, y, n_control)], ALPHA) < ratio
            steps.append((x, n, y, n_control))
        failures += is_missed
    assert failures / 100 <= ALPHA


COUNTS = st.tuples(st.integers(0, 50), st.integers(50, 10**6), st.integers(0, 50), st.integers(50, 10**6))


@given(COUNTS, LEVELS)
def test_in_one_step_the_bound_of_the_ratio_follows_from_the_candidates_share_of_the_bad_requests(
    counts: tuple[int, int, int, int], alpha: float
) -> None:
    bad, total, control_bad, control_total = counts
    share = upper_bound(bad, bad + control_bad, alpha)
    expected = share / (1 - share) * control_total / total if share < 1 else math.inf
    assert ratio_bound([counts], alpha) == pytest.approx(expected, rel=1e-6)


@given(st.lists(COUNTS, min_size=1, max_size=3), LEVELS, st.integers(2, 9))
def test_the_bound_of_a_ratio_needs_neither_an_order_nor_empty_steps_nor_a_unit(
    steps: list[tuple[int, int, int, int]], alpha: float, factor: int
) -> None:
    bound = ratio_bound(steps, alpha)
    assert ratio_bound([(0, 0, 3, 50), *steps[::-1], (3, 50, 0, 0)], alpha) == pytest.approx(bound)
    more_traffic = [(bad, factor * total, control_bad, factor * control) for bad, total, control_bad, control in steps]
    assert ratio_bound(more_traffic, alpha) == pytest.approx(bound)


def test_without_bad_requests_of_control_no_ratio_is_ruled_out() -> None:
    assert ratio_bound([], ALPHA) == ratio_bound([(0, 1000, 0, 1000)], ALPHA) == math.inf
    assert ratio_bound([(5, 1000, 0, 1000)], ALPHA) == math.inf
    assert 0.1 < ratio_bound([(0, 1000, 20, 1000)], ALPHA) < 0.5
    assert 1.05 < ratio_bound([(10**6, 10**9, 10**6, 10**9)], ALPHA) < 1.2
