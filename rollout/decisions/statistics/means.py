"""Bounds of the difference between the candidate's mean and control's, which hold at every look. Pure.

The bounds are asymptotic, like a t-test's: they need no limit of a single value, and hold in large samples. The
difference of the arms' means has the variance V = s_c^2 / n_c + s_k^2 / n_k. With t = n_c + n_k, the difference is
known to sqrt(V) sqrt(2 (t rho^2 + 1) / (t rho^2) log(sqrt(t rho^2 + 1) / alpha)) (Waudby-Smith, Arbour, Sinha,
Kennedy and Ramdas 2021, arXiv:2103.06476, theorem 2.2 and the section on randomized experiments).

rho is tuned for t = 1,000: there the bounds are as narrow as they can be. A hundred times as many values make them a
tenth wider than the best rho for that sample, but a tenth as many a sixth (at alpha = 0.001). So it is better to tune
for an early sample: a late one has bounds that are narrow anyway.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from rollout.decisions.counts import Moments

TUNED_FOR = 1000  # values of both arms
SMALLEST_SAMPLE = 50  # values of each arm; below it the normal approximation is worth nothing
_ROUNDING = 1e-9  # a variance below this part of the mean square is the rounding error of a constant


class Difference(NamedTuple):
    """The difference of the arms' means, candidate's - control's.

    low, high: the smallest and the largest one that is not ruled out; infinite if nothing is ruled out.
    measured: the one in the sample. control: control's mean, with the same weights.
    """

    low: float
    high: float
    measured: float
    control: float


def difference(steps: Sequence[tuple[Moments, Moments]], alpha: float) -> Difference | None:
    """Return the difference of the means; None if no step has values of both arms.

    steps: the values of the candidate and of control in each step of the traffic share. Arms are compared in the same
        step only, because the means may change with time while the share grows. The differences are weighted by the
        sizes of the samples, n_c n_k / (n_c + n_k).

    The true difference is between the bounds at every look with confidence 1 - alpha. They are infinite if in each step
    an arm has fewer than SMALLEST_SAMPLE values, or only equal ones: such a sample does not show how much the values
    vary.
    """
    filled = [(candidate, control) for candidate, control in steps if candidate.n and control.n]
    if not filled:
        return None
    varied = [(one, other) for one, other in filled if _variance_of_mean(one) and _variance_of_mean(other)]
    measured = varied or filled
    weights = [one.n * other.n / (one.n + other.n) for one, other in measured]
    weights = [weight / sum(weights) for weight in weights]
    pairs = list(zip(weights, measured, strict=True))
    gap = sum(weight * (one.total / one.n - other.total / other.n) for weight, (one, other) in pairs)
    control = sum(weight * other.total / other.n for weight, (_, other) in pairs)
    if not varied:
        return Difference(-math.inf, math.inf, gap, control)
    variance = sum(weight**2 * (_variance_of_mean(one) + _variance_of_mean(other)) for weight, (one, other) in pairs)
    size = sum(one.n + other.n for one, other in measured) * _squared_rho(alpha)
    factor = (size + 1) / size * (math.log(size + 1) - 2 * math.log(alpha))
    width = math.sqrt(variance * factor)
    return Difference(gap - width, gap + width, gap, control)


def _squared_rho(alpha: float) -> float:
    """Return the rho^2 at which the bounds are narrowest for TUNED_FOR values (arXiv:2103.06476, appendix)."""
    return (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / TUNED_FOR


def _variance_of_mean(arm: Moments) -> float:
    """Return the variance of the arm's mean, or 0 if the sample does not show it."""
    if arm.n < SMALLEST_SAMPLE:
        return 0.0
    deviations = arm.squares - arm.total**2 / arm.n
    if deviations <= _ROUNDING * arm.squares:
        return 0.0
    return deviations / (arm.n - 1) / arm.n
