"""What to expect of a player's next game, per statistic.

An exponentially weighted mean (half-life 10 games, newest last), shrunk to the mean of his position group by how much
his games tell: weight = n / (n + within / between), where n is the effective number of games, `within` the variance of
one player's games and `between` that of players' true means (one-way random effects, by moments; Searle, Casella &
McCulloch 1992, Variance Components, ch. 3). Where players of a position do not differ, his own games teach nothing.

The standard error is of that mean, not of a single game. Confidence: the mean weight over his statistics, 0 to 1, which
is the reliability of his figures (Kelley 1927; Efron & Morris 1975, JASA 70:311-319).
"""

from typing import Any

import numpy as np

from caching.derivations.games import Floats, Games
from caching.derivations.result import Computed, TooFewGames

HALF_LIFE = 10.0  # games
LAST = 5


def warm(games: Games, player: str) -> Computed:
    """For a player by name. Raises TooFewGames where there is no game of his."""
    own = games.players == player
    if not own.any():
        raise TooFewGames(f"no game of {player}")
    group = str(games.groups[own][-1])
    same = games.groups == group
    projections: list[dict[str, Any]] = []
    weights = []
    for statistic in games.statistics:
        column = games.column(statistic)
        counts = column[own][~np.isnan(column[own])]
        if not len(counts):
            continue
        peers = same & ~np.isnan(column)
        found, weight = _project(counts, column[peers], games.players[peers])
        projections.append({"statistic": statistic, **found, "last": counts[-LAST:].tolist()})
        weights.append(weight)
    rows = int(own.sum())
    payload = {"player": player, "source": games.source, "games": rows, "position": group, "projections": projections}
    leading = max(projections[:5], key=lambda found: found["projection"])
    named = leading["statistic"].replace("_", " ")
    told = f"{player}: about {leading['projection']:.1f} {named} in his next game, from {rows} games."
    points = [
        f"{p['statistic'].replace('_', ' ')}: {p['projection']:.1f}, standard error {p['standard_error']:.1f}"
        for p in projections[:3]
    ]
    context = {"newest": str(games.newest), "source": games.source, "position": group}
    return Computed(payload, told, points, float(np.mean(weights)), rows, context)


def _project(counts: Floats, peers: Floats, names: Any) -> tuple[dict[str, float], float]:
    mean, effective = weighted_mean(counts)
    within, between = variances(peers, names)
    weight = effective / (effective + within / between) if between > 0 else 0.0
    of_position = between + float(peers.var()) / len(peers)  # how far he may be from their mean, and that from its own
    error = np.sqrt(weight**2 * within / effective + (1 - weight) ** 2 * of_position)
    projection = weight * mean + (1 - weight) * float(peers.mean())
    return {"ewma": mean, "projection": projection, "standard_error": float(error)}, weight


def weighted_mean(counts: Floats) -> tuple[float, float]:
    """counts: oldest first. Returns their weighted mean, and how many equally weighted games it is worth."""
    weights = 0.5 ** (np.arange(len(counts))[::-1] / HALF_LIFE)
    total = weights.sum()
    return float((weights * counts).sum() / total), float(total**2 / (weights**2).sum())


def variances(counts: Floats, names: Any) -> tuple[float, float]:
    """Within players and between their means; the latter 0 where chance alone explains the differences."""
    _, place, games = np.unique(names, return_inverse=True, return_counts=True)
    players, n = len(games), len(counts)
    if players < 2 or n <= players:
        return float(counts.var()), 0.0
    means = np.bincount(place, counts) / games
    within = float(((counts - means[place]) ** 2).sum() / (n - players))
    spread = float((games * (means - counts.mean()) ** 2).sum() / (players - 1))
    typical = (n - (games**2).sum() / n) / (players - 1)
    return within, max(0.0, float((spread - within) / typical))
