"""Pearson's correlation and its interval, for the correlation and the factor entries. Pure."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from caching.derivations.games import Floats

Z95 = NormalDist().inv_cdf(0.975)  # standard deviations to each side that hold 95 % of a normal distribution


def correlate(counts: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return Pearson's r of each pair of columns over the rows that have both, and the numbers of those rows.

    counts: shape (rows, k); NaN where a row lacks the statistic.
    Returns two arrays of shape (k, k); r is NaN for a column that never varies.
    Source: Pearson 1895, Proc. R. Soc. 58:240-242.
    """
    is_present = ~np.isnan(counts)
    n = is_present.astype(np.int64).T @ is_present.astype(np.int64)
    k = counts.shape[1]
    r = np.full((k, k), np.nan)
    if is_present.all():
        if len(counts) > 1:
            with np.errstate(invalid="ignore", divide="ignore"):
                r = np.atleast_2d(np.corrcoef(counts.T))
        return r, n
    for i in range(k):
        for j in range(i + 1):
            complete = counts[is_present[:, i] & is_present[:, j]][:, [i, j]]
            if len(complete) > 1 and (complete.std(axis=0) > 0).all():
                r[i, j] = r[j, i] = np.atleast_2d(np.corrcoef(complete.T))[0, 1]
    return r, n


def interval(r: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a correlation over n rows, within -1 to 1.

    The interval of three rows or fewer is (-1, 1). Source: Fisher 1921, Metron 1:3-32 (z-transform).
    """
    if n <= 3:
        return -1.0, 1.0
    if abs(r) >= 1:
        return r, r
    z, half_width = np.arctanh(r), Z95 / np.sqrt(n - 3)
    return float(np.tanh(z - half_width)), float(np.tanh(z + half_width))
