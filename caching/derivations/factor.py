"""Three principal components of a sport's statistics, over every row.

Statistics are standardised first (mean 0, population deviation 1), so that yards do not outweigh touchdowns. A
component's sign is arbitrary; here its largest loading is positive.

Confidence: the Kaiser-Meyer-Olkin measure of sampling adequacy, 0 to 1: how much of what the statistics share is shared
by more than two of them, without which factors mean nothing. Source: Kaiser 1974, Psychometrika 39:31-36.
"""

import numpy as np

from caching.derivations.games import MIN_GAMES, Floats, Games, said
from caching.derivations.result import Computed, TooFewGames

COMPONENTS = 3


def warm(games: Games) -> Computed:
    """Raises TooFewGames where there are less than 30 complete rows, or less than three statistics that vary."""
    complete = games.counts[~np.isnan(games.counts).any(axis=1)]
    varies = complete.std(axis=0) > 0 if len(complete) else np.zeros(len(games.statistics), bool)
    if len(complete) < MIN_GAMES or varies.sum() < COMPONENTS:
        raise TooFewGames(f"{len(complete)} complete games of {games.sport}, {MIN_GAMES} are needed")
    loadings, explained = components(complete[:, varies])
    whole = np.zeros((COMPONENTS, len(games.statistics)))
    whole[:, varies] = loadings
    payload = {
        "source": games.source,
        "n": len(complete),
        "statistics": list(games.statistics),
        "explained_variance": explained.tolist(),
        "loadings": whole.tolist(),
    }
    about = [said([games.statistics[i] for i in np.argsort(-np.abs(row))[:2]]) for row in whole]
    share = explained.sum()
    told = f"Three factors carry {share:.0%} of what varies in {games.sport} games; the first is about {about[0]}."
    points = [f"factor {n + 1}: {explained[n]:.0%}, {about[n]}" for n in range(COMPONENTS)]
    context = {"newest": str(games.newest), "source": games.source}
    return Computed(payload, told, points, adequacy(complete[:, varies]), len(complete), context)


def components(counts: Floats) -> tuple[Floats, Floats]:
    """counts: shape (rows, k), complete, each column varying. Returns loadings, shape (3, k), each of length 1, and the
    share of the variance that each explains, shape (3,).
    """
    standard = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    values, vectors = np.linalg.eigh(standard.T @ standard / len(standard))
    order = np.argsort(-values)[:COMPONENTS]
    loadings = vectors[:, order].T
    largest = loadings[np.arange(COMPONENTS), np.abs(loadings).argmax(axis=1)]
    return loadings * np.sign(largest)[:, None], values[order] / values.sum()


def adequacy(counts: Floats) -> float:
    """The Kaiser-Meyer-Olkin measure; 0 where the correlations cannot be inverted."""
    r = np.atleast_2d(np.corrcoef(counts.T))
    try:
        inverse = np.linalg.inv(r)
    except np.linalg.LinAlgError:
        return 0.0
    scale = np.sqrt(np.diag(inverse))
    partial = -inverse / np.outer(scale, scale)
    off = np.eye(len(r)) == 0
    shared, left = (r[off] ** 2).sum(), (partial[off] ** 2).sum()
    return float(shared / (shared + left)) if shared + left > 0 else 0.0
