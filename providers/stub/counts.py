"""Counts drawn from a joint distribution that is stated in terms of the counts themselves. Pure.

A Gaussian copula (NORTA; Cario & Nelson 1997): normal variables with a latent correlation matrix, each turned into a
count by its own quantiles. Turning into counts weakens correlations, so the latent ones are found such that Pearson's r
of the counts is the stated one: the covariance of two step functions of normals is a power series in the latent
correlation (Mehler's formula), whose coefficients are exact sums over the steps.
"""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

TERMS = 120  # of the series; at a latent correlation of 0.95 the rest is below 0.2 %
TAIL = 1e-9  # probability that is cut off above
STEPS = 60  # halvings of the interval in which the latent correlation lies
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Count:
    """The distribution of one count, by its mean and standard deviation, both in counts.

    Negative binomial where the variance exceeds the mean, else binomial with the trials that come nearest.
    """

    mean: float
    deviation: float

    @cached_property
    def thresholds(self) -> Floats:
        """Where the normal variable steps to 1, 2, ...; shape (highest count,)."""
        below = np.cumsum(self._probabilities())[:-1]
        inverse = NormalDist().inv_cdf
        return np.array([inverse(p) for p in below if p < 1 - TAIL])

    def _probabilities(self) -> Floats:
        variance = self.deviation**2
        if variance > self.mean:
            success, size = self.mean / variance, self.mean**2 / (variance - self.mean)
            found = [success**size]
            while sum(found) < 1 - TAIL or len(found) <= self.mean:
                k = len(found)
                found.append(found[-1] * (k + size - 1) / k * (1 - success))
            return np.array(found)
        trials = round(self.mean**2 / (self.mean - variance))
        p = self.mean / trials
        found = [(1 - p) ** trials]
        for k in range(trials):
            found.append(found[-1] * (trials - k) / (k + 1) * p / (1 - p))
        return np.array(found)

    @cached_property
    def coefficients(self) -> Floats:
        """Of normalised Hermite polynomials 1 to TERMS; their squares add up to the variance."""
        t = self.thresholds
        density = np.exp(-t * t / 2) / np.sqrt(2 * np.pi)
        before, now, found = np.zeros_like(t), np.ones_like(t), []
        for k in range(1, TERMS + 1):
            found.append((density * now).sum() / np.sqrt(k))
            before, now = now, (t * now - np.sqrt(k - 1) * before) / np.sqrt(k)
        return np.array(found)

    @cached_property
    def variance(self) -> float:
        """Of the counts as they are drawn."""
        steps = np.arange(1, len(self.thresholds) + 1)
        above = np.array([1 - NormalDist().cdf(t) for t in self.thresholds])
        mean = above.sum()
        return float(((2 * steps - 1) * above).sum() - mean**2)


def latent(one: Count, two: Count, correlation: float) -> float:
    """The normals' correlation at which the counts' is the stated one. Raises ValueError where none is."""
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


def latents(counts: list[Count], correlations: Floats) -> Floats:
    """The normals' correlation matrix, shape (k, k), for the counts' stated one."""
    found = np.eye(len(counts))
    for i in range(len(counts)):
        for j in range(i):
            found[i, j] = found[j, i] = latent(counts[i], counts[j], correlations[i, j])
    return found


def draw(counts: list[Count], latents: Floats, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows of counts; shape (rows, k). Raises LinAlgError where no normals have such correlations."""
    normals = rng.standard_normal((rows, len(counts))) @ np.linalg.cholesky(latents).T
    return np.column_stack([np.searchsorted(c.thresholds, normals[:, i]) for i, c in enumerate(counts)])
