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

from rollout.decisions.counts import Moments

TUNED_FOR = 1000  # values of both arms
SMALLEST_SAMPLE = 50  # values of each arm; below it the normal approximation is worth nothing
_ROUNDING = 1e-9  # a variance below this part of the mean square is the rounding error of a constant


def difference_bounds(candidate: Moments, control: Moments, alpha: float) -> tuple[float, float]:
    """Return the smallest and the largest difference, candidate's mean - control's, that is not ruled out.

    The true difference is between them at every look with confidence 1 - alpha. They are infinite if an arm has fewer
    than SMALLEST_SAMPLE values, or only equal ones: such a sample does not show how much the values vary.

    The share of the traffic must be the same for the whole sample, or the mean must not change with time.
    """
    variances = _variance_of_mean(candidate), _variance_of_mean(control)
    if variances[0] is None or variances[1] is None:
        return -math.inf, math.inf
    difference = candidate.total / candidate.n - control.total / control.n
    size = (candidate.n + control.n) * _squared_rho(alpha)
    factor = (size + 1) / size * (math.log(size + 1) - 2 * math.log(alpha))
    width = math.sqrt((variances[0] + variances[1]) * factor)
    return difference - width, difference + width


def _squared_rho(alpha: float) -> float:
    """Return the rho^2 at which the bounds are narrowest for TUNED_FOR values (arXiv:2103.06476, appendix)."""
    return (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / TUNED_FOR


def _variance_of_mean(arm: Moments) -> float | None:
    """Return the variance of the arm's mean, or None if the sample does not show it."""
    if arm.n < SMALLEST_SAMPLE:
        return None
    deviations = arm.squares - arm.total**2 / arm.n
    if deviations <= _ROUNDING * arm.squares:
        return None
    return deviations / (arm.n - 1) / arm.n
