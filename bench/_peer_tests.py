"""Other rules for taking a candidate back, asked at the same looks as Slipway. Each returns the first alarm.

The number of the look counts from 1; 0 means that there is none.
"""

import math
from statistics import NormalDist

import numpy as np

from bench._evidence import control_ratios, first_slots, log_mean
from bench._stage import Array, Counts, Looks

SMALLEST_SAMPLE = 50
TUNED_FOR = 5000  # requests of both arms; the default of GrowthBook


def count_alone(looks: Looks, at_most: int = 5) -> Counts:
    """Return the first look with more errors of the candidate than `at_most` since the visit began."""
    return first_slots(looks.errors.cumsum(axis=1), at_most + 1)


def point_estimates(looks: Looks) -> Counts:
    """Return the first look at which a measured share is over the limit of p95_ms, hit_rate or mismatch_rate."""
    totals = looks.total.cumsum(axis=1)
    over = [(looks.slower_than(1000), 0.05), (looks.misses, 0.3), (looks.mismatches, 0.01)]
    is_over = np.any([bad.cumsum(axis=1) > share * totals for bad, share in over], axis=0)
    return first_slots(is_over & (totals >= SMALLEST_SAMPLE), 1)


def frozen_control(looks: Looks, alpha: float) -> Counts:
    """Return the first look at which the evidence exceeds 1 / alpha, against control's errors in the stage before."""
    before = looks.before_errors[:, None], looks.before_total[:, None]
    (bad, total), _ = _arms(looks)
    return first_slots(log_mean(control_ratios(bad, total, *before, 1.0)), -math.log(alpha))


def sequential(looks: Looks, alpha: float) -> Counts:
    """Return the first look at which GrowthBook's sequential test shows more errors of the candidate."""
    candidate, control = _arms(looks)
    with np.errstate(divide="ignore", invalid="ignore"):
        return first_slots(sequential_low(*candidate, *control, alpha), math.ulp(0.0))


def sequential_low(bad: Array, total: Array, control_bad: Array, control_total: Array, alpha: float) -> Array:
    """Return the lower end of GrowthBook's interval of the difference of both shares; NaN if it gives none.

    Source: gbstats 0.8.0, SequentialTwoSidedTTest of two ProportionStatistic, absolute difference; Waudby-Smith,
    Arbour, Sinha, Kennedy and Ramdas, arXiv:2103.06476, equations 9 and 161. It gives no interval without an error of
    control, and if an arm has no variance.
    """
    share, control_share = bad / total, control_bad / control_total
    variances = share * (1 - share), control_share * (1 - control_share)
    n = total + control_total
    rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / TUNED_FOR
    spread = (variances[0] / total + variances[1] / control_total) * n
    width = np.sqrt(spread * 2 * (n * rho2 + 1) * np.log(np.sqrt(n * rho2 + 1) / alpha) / (n**2 * rho2))
    is_given = (variances[0] > 0) & (variances[1] > 0)
    return np.where(is_given, share - control_share - width, np.nan)


def chi_square(looks: Looks, alpha: float) -> Counts:
    """Return the first look at which Pearson's chi-square, without a correction, shows more errors of the candidate."""
    (bad, total), (control_bad, control_total) = _arms(looks)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (bad + control_bad) / (total + control_total)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / total + 1 / control_total))
        return first_slots((bad / total - control_bad / control_total) / spread, NormalDist().inv_cdf(1 - alpha / 2))


def _arms(looks: Looks) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    sums = (each.cumsum(axis=1).astype(float) for each in (looks.errors, looks.total))
    control_sums = (each.cumsum(axis=1).astype(float) for each in (looks.control_errors, looks.control_total))
    return tuple(sums), tuple(control_sums)  # type: ignore[return-value]
