"""Counts drawn from a joint distribution that is stated in terms of the counts themselves. Pure.

The method is a Gaussian copula (NORTA; Cario and Nelson 1997): normal variables with a latent correlation matrix are
each turned into a count by the count's own quantiles. Turning them into counts weakens the correlations, so the latent
ones are chosen such that Pearson's r of the counts is the stated one. For that, the covariance of two step functions of
normal variables is written as a power series in the latent correlation (Mehler's formula), whose coefficients are exact
sums over the steps.
"""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

TERMS = 120  # of the series; at a latent correlation of 0.95 the rest is below 0.2 %
TAIL = 1e-9  # probability that is cut off above
STEPS = 60  # halvings of the interval that holds the latent correlation
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CountDistribution:
    """The distribution of one count, by its mean and standard deviation, both in counts.

    If the variance is greater than the mean, it is negative binomial. Else it is binomial, with the number of trials
    that comes nearest.
    """

    mean: float
    deviation: float

    @cached_property
    def thresholds(self) -> Floats:
        """The values of the normal variable at which the count becomes 1, 2, ...; shape (highest count,)."""
        below = np.cumsum(self._probabilities())[:-1]
        inverse = NormalDist().inv_cdf
        return np.array([inverse(p) for p in below if p < 1 - TAIL])

    def _probabilities(self) -> Floats:
        """Return the probabilities of the counts 0, 1, ..., each from the one before it."""
        variance = self.deviation**2
        if variance > self.mean:
            success, size = self.mean / variance, self.mean**2 / (variance - self.mean)
            probabilities = [success**size]
            while sum(probabilities) < 1 - TAIL or len(probabilities) <= self.mean:
                k = len(probabilities)
                probabilities.append(probabilities[-1] * (k + size - 1) / k * (1 - success))
            return np.array(probabilities)
        trials = round(self.mean**2 / (self.mean - variance))
        p = self.mean / trials
        probabilities = [(1 - p) ** trials]
        for k in range(trials):
            probabilities.append(probabilities[-1] * (trials - k) / (k + 1) * p / (1 - p))
        return np.array(probabilities)

    @cached_property
    def coefficients(self) -> Floats:
        """The coefficients of the normalized Hermite polynomials 1 to TERMS. Their squares add up to the variance."""
        t = self.thresholds
        density = np.exp(-t * t / 2) / np.sqrt(2 * np.pi)
        before, now = np.zeros_like(t), np.ones_like(t)
        coefficients = []
        for k in range(1, TERMS + 1):
            coefficients.append((density * now).sum() / np.sqrt(k))
            before, now = now, (t * now - np.sqrt(k - 1) * before) / np.sqrt(k)
        return np.array(coefficients)

    @cached_property
    def variance(self) -> float:
        """The variance of the counts as they are drawn."""
        steps = np.arange(1, len(self.thresholds) + 1)
        above = np.array([1 - NormalDist().cdf(t) for t in self.thresholds])
        mean = above.sum()
        return float(((2 * steps - 1) * above).sum() - mean**2)


def latent_correlation(one: CountDistribution, two: CountDistribution, correlation: float) -> float:
    """Return the correlation of the normal variables that gives the counts the stated one.

    Raises ValueError if no correlation of the normal variables does.
    """
    series = one.coefficients * two.coefficients / np.sqrt(one.variance * two.variance)
    powers = np.arange(1, TERMS + 1)
    low, high = -0.999, 0.999
    if not (series * low**powers).sum() <= correlation <= (series * high**powers).sum():
        raise ValueError(f"counts like {one} and {two} cannot have a correlation of {correlation}")
    for _ in range(STEPS):
        middle = (low + high) / 2
        is_below = (series * middle**powers).sum() < correlation
        low, high = (middle, high) if is_below else (low, middle)
    return (low + high) / 2


def latent_matrix(counts: list[CountDistribution], correlations: Floats) -> Floats:
    """Return the correlation matrix of the normal variables for the counts' stated one; both have shape (k, k)."""
    matrix = np.eye(len(counts))
    for i in range(len(counts)):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = latent_correlation(counts[i], counts[j], correlations[i, j])
    return matrix


def draw_counts(
    counts: list[CountDistribution], latent: Floats, rows: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return rows of counts, shape (rows, k).

    latent: the correlation matrix of the normal variables, shape (k, k).
    Raises LinAlgError if no normal variables have such correlations.
    """
    normals = rng.standard_normal((rows, len(counts))) @ np.linalg.cholesky(latent).T
    return np.column_stack([np.searchsorted(count.thresholds, normals[:, i]) for i, count in enumerate(counts)])
