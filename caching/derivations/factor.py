"""Three principal components of a sport's statistics, over every row.

The statistics are standardized first (mean 0, population deviation 1), so that yards do not outweigh touchdowns. The
sign of a component is arbitrary; here its largest loading is positive.

Confidence: the Kaiser-Meyer-Olkin measure of sampling adequacy, 0 to 1: the share of the statistics' correlation that
more than two of them have in common. If there is no such correlation, factors mean nothing.
Source: Kaiser 1974, Psychometrika 39:31-36.
"""

import numpy as np

from caching.derivations.games import MIN_GAMES, Floats, Games, readable_list
from caching.derivations.payloads import FactorPayload
from caching.derivations.result import Computed, TooFewGames

COMPONENTS = 3
NAMED_STATISTICS = 2  # per component, in the narrative and the key points


def derive(games: Games) -> Computed:
    """Return the factor model.

    Raise TooFewGames if fewer than MIN_GAMES (30) rows are complete, or fewer than COMPONENTS (3) statistics vary.
    """
    complete = games.counts[~np.isnan(games.counts).any(axis=1)]
    varies = complete.std(axis=0) > 0 if len(complete) else np.zeros(len(games.statistics), bool)
    if len(complete) < MIN_GAMES or varies.sum() < COMPONENTS:
        raise TooFewGames(f"{len(complete)} complete games of {games.sport}, {MIN_GAMES} are needed")
    varying_loadings, explained = components(complete[:, varies])
    loadings = np.zeros((COMPONENTS, len(games.statistics)))
    loadings[:, varies] = varying_loadings
    payload = FactorPayload(
        source=games.source,
        n=len(complete),
        statistics=list(games.statistics),
        explained_variance=explained.tolist(),
        loadings=loadings.tolist(),
    )
    leading = [_leading_statistics(row, games.statistics) for row in loadings]
    narrative = (
        f"Three factors explain {explained.sum():.0%} of the variance in {games.sport} games; "
        f"the first is mostly {leading[0]}."
    )
    points = [f"factor {i + 1}: {explained[i]:.0%}, {leading[i]}" for i in range(COMPONENTS)]
    context = {"newest": str(games.newest), "source": games.source}
    return Computed(payload, narrative, points, adequacy(complete[:, varies]), len(complete), context)


def components(counts: Floats) -> tuple[Floats, Floats]:
    """Return the loadings of three components, and the share of the variance that each explains.

    counts: shape (rows, k), complete, each column varying.
    Returns the loadings with shape (3, k), each row of length 1, and the shares with shape (3,).
    """
    standardized = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    values, vectors = np.linalg.eigh(standardized.T @ standardized / len(standardized))
    order = np.argsort(-values)[:COMPONENTS]
    loadings = vectors[:, order].T
    largest = loadings[np.arange(COMPONENTS), np.abs(loadings).argmax(axis=1)]
    return loadings * np.sign(largest)[:, None], values[order] / values.sum()


def adequacy(counts: Floats) -> float:
    """Return the Kaiser-Meyer-Olkin measure, 0 to 1; 0 if the matrix of correlations cannot be inverted."""
    r = np.atleast_2d(np.corrcoef(counts.T))
    try:
        inverse = np.linalg.inv(r)
    except np.linalg.LinAlgError:
        return 0.0
    scale = np.sqrt(np.diag(inverse))
    partial = -inverse / np.outer(scale, scale)
    off_diagonal = np.eye(len(r)) == 0
    shared, remaining = (r[off_diagonal] ** 2).sum(), (partial[off_diagonal] ** 2).sum()
    return float(shared / (shared + remaining)) if shared + remaining > 0 else 0.0


def _leading_statistics(loadings: Floats, statistics: tuple[str, ...]) -> str:
    largest_first = np.argsort(-np.abs(loadings))
    return readable_list(statistics[i] for i in largest_first[:NAMED_STATISTICS])
