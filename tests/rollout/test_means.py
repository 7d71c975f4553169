"""The bounds of the difference of two means: they hold at every look, and are as wide as the formula of others."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from ville import best_rho, normal_mixture

from rollout.decisions.counts import Moments
from rollout.decisions.statistics.means import SMALLEST_SAMPLE, TUNED_FOR, difference

ALPHA = 0.05
VALUES = st.lists(st.floats(-1000, 1000, width=32), min_size=SMALLEST_SAMPLE, max_size=80)


def moments(values: ArrayLike) -> Moments:
    sample = np.asarray(values, float)
    return Moments(len(sample), float(sample.sum()), float((sample**2).sum()))


def difference_bounds(candidate: Moments, control: Moments, alpha: float) -> tuple[float, float]:
    """Return the bounds from one percent step."""
    found = difference([(candidate, control)], alpha)
    return (found.low, found.high) if found else (-math.inf, math.inf)


def width(bounds: tuple[float, float]) -> float:
    return (bounds[1] - bounds[0]) / 2


@pytest.mark.parametrize(("count", "control_count"), [(50, 950), (500, 500), (10**4, 10**5), (10**9, 10**9)])
def test_the_width_is_the_boundary_of_another_author(count: int, control_count: int) -> None:
    candidate = Moments(count, 2.0 * count, 4.0 * count + 9.0 * (count - 1))  # mean 2, variance 9
    control = Moments(control_count, 1.0 * control_count, 1.0 * control_count + 4.0 * (control_count - 1))
    low, high = difference_bounds(candidate, control, ALPHA)
    size = count + control_count
    deviation = math.sqrt(size * (9 / count + 4 / control_count))
    theirs = deviation * float(normal_mixture(size, ALPHA, best_rho(TUNED_FOR, ALPHA))) / size
    assert (low + high) / 2 == pytest.approx(1)
    assert (high - low) / 2 == pytest.approx(theirs, rel=2e-3)


@given(VALUES, VALUES, st.floats(0.01, 100))
@settings(deadline=None)
def test_the_bounds_mirror_when_the_arms_change_places_and_scale_with_the_unit(
    values: list[float], control_values: list[float], unit: float
) -> None:
    low, high = difference_bounds(moments(values), moments(control_values), ALPHA)
    assert difference_bounds(moments(control_values), moments(values), ALPHA) == pytest.approx((-high, -low))
    scaled = difference_bounds(
        moments([unit * value for value in values]), moments([unit * value for value in control_values]), ALPHA
    )
    assert scaled == pytest.approx((unit * low, unit * high), rel=1e-4, abs=1e-6 * unit)


@given(st.integers(50, 10**6), st.sampled_from([0.1, 0.01, 0.001]))
def test_more_values_and_a_lower_confidence_narrow_the_bounds(count: int, alpha: float) -> None:
    def bounds(number: int, level: float) -> tuple[float, float]:
        arm = Moments(number, 0.0, float(number))
        return difference_bounds(arm, arm, level)

    assert width(bounds(2 * count, alpha)) < width(bounds(count, alpha))
    assert width(bounds(count, 2 * alpha)) < width(bounds(count, alpha))


def test_a_tiny_or_a_constant_sample_rules_nothing_out() -> None:
    enough, everything = Moments(100, 50.0, 50.0), (-math.inf, math.inf)
    assert difference_bounds(Moments(49, 20.0, 20.0), enough, ALPHA) == everything
    assert difference_bounds(enough, Moments(0, 0.0, 0.0), ALPHA) == everything
    assert difference_bounds(moments([0.1] * 1000), enough, ALPHA) == everything
    assert difference_bounds(enough, Moments(5000, 0.0, 0.0), ALPHA) == everything


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_the_bounds_hold_at_every_look_for_rare_events(rate: float) -> None:
    chance = np.random.default_rng(9)
    counts, control_counts = 20 * np.arange(1, 61), 80 * np.arange(1, 61)
    missed = 0
    for bad, control_bad in zip(
        chance.binomial(20, rate, (400, 60)).cumsum(axis=1),
        chance.binomial(80, rate, (400, 60)).cumsum(axis=1),
        strict=True,
    ):
        looks = zip(counts.tolist(), bad.tolist(), control_counts.tolist(), control_bad.tolist(), strict=True)
        bounds = [difference_bounds(Moments(n, x, x), Moments(k, y, y), ALPHA) for n, x, k, y in looks]
        missed += not all(low <= 0 <= high for low, high in bounds)
    assert missed / 400 <= ALPHA


def test_the_bounds_hold_at_every_look_for_skewed_values_and_find_a_difference() -> None:
    chance = np.random.default_rng(10)
    missed = found = 0
    for values, control_values in zip(
        chance.exponential(size=(300, 1000)), chance.exponential(size=(300, 1000)), strict=True
    ):
        looks = range(50, 1001, 50)
        bounds = [difference_bounds(moments(values[:n]), moments(control_values[:n]), ALPHA) for n in looks]
        missed += not all(low <= 0 <= high for low, high in bounds)
        found += difference_bounds(moments(values + 0.25), moments(control_values), ALPHA)[0] > 0
    assert missed / 300 <= ALPHA
    assert found / 300 > 0.9
