"""The projection of each statistic in a player's next game.

A projection is an exponentially weighted mean (half-life 10 games, the newest game last), shrunk toward the mean of the
player's position group. The weight of the player's own mean grows with the information in the player's games:
weight = n / (n + within / between), where n is the effective number of games, `within` the variance among the games of
one player, and `between` the variance among the players' true means (one-way random effects, by moments; Searle,
Casella & McCulloch 1992, Variance Components, ch. 3). If the players of a position do not differ, the weight is 0.

The standard error is that of the projected mean, not of a single game. Confidence: the mean weight over the player's
statistics, 0 to 1, which is the reliability of the figures (Kelley 1927; Efron & Morris 1975, JASA 70:311-319).
"""

import numpy as np

from caching.derivations.games import Floats, Games, Names, readable
from caching.derivations.payloads import PlayerPayload, Projection
from caching.derivations.result import Computed, TooFewGames

HALF_LIFE = 10.0  # games
LAST_GAMES = 5
LEADING_STATISTICS = 5  # the first ones of a sport, among which the narrative names the largest
POINTS_AT_MOST = 3


def derive(games: Games, player: str) -> Computed:
    """Return the projections of the player with this name. Raise TooFewGames if there is no game of the player."""
    is_players = games.players == player
    if not is_players.any():
        raise TooFewGames(f"no game of {player}")
    group = str(games.groups[is_players][-1])
    is_group = games.groups == group
    projections: list[Projection] = []
    weights: list[float] = []
    for statistic in games.statistics:
        column = games.column(statistic)
        is_counted = ~np.isnan(column)
        counts = column[is_players & is_counted]
        if not len(counts):
            continue
        peers = is_group & is_counted
        projection, weight = _project(statistic, counts, column[peers], games.players[peers])
        projections.append(projection)
        weights.append(weight)
    game_count = int(is_players.sum())
    leading = max(projections[:LEADING_STATISTICS], key=lambda projection: projection.projection)
    narrative = (
        f"{player}: about {leading.projection:.1f} {readable(leading.statistic)} in the next game, "
        f"from {game_count} games."
    )
    points = [
        f"{readable(each.statistic)}: {each.projection:.1f}, standard error {each.standard_error:.1f}"
        for each in projections[:POINTS_AT_MOST]
    ]
    payload = PlayerPayload(
        player=player, source=games.source, games=game_count, position=group, projections=projections
    )
    context = {"newest": str(games.newest), "source": games.source, "position": group}
    return Computed(payload, narrative, points, float(np.mean(weights)), game_count, context)


def _project(statistic: str, counts: Floats, peers: Floats, names: Names) -> tuple[Projection, float]:
    """Return the projection from a player's counts and those of the position group, and the weight of the former.

    peers: the counts of the position group, the player's own among them. names: the player of each of them.
    """
    mean, effective = weighted_mean(counts)
    within, between = variances(peers, names)
    weight = effective / (effective + within / between) if between > 0 else 0.0
    # The distance of the player's true mean from the group's, and the error of the group's mean itself.
    group_variance = between + float(peers.var()) / len(peers)
    error = np.sqrt(weight**2 * within / effective + (1 - weight) ** 2 * group_variance)
    projection = weight * mean + (1 - weight) * float(peers.mean())
    return Projection(statistic, mean, projection, float(error), counts[-LAST_GAMES:].tolist()), weight


def weighted_mean(counts: Floats) -> tuple[float, float]:
    """Return the exponentially weighted mean, and the number of equally weighted games that it is worth.

    counts: one per game, the oldest first.
    """
    weights = 0.5 ** (np.arange(len(counts))[::-1] / HALF_LIFE)
    total = weights.sum()
    return float((weights * counts).sum() / total), float(total**2 / (weights**2).sum())


def variances(counts: Floats, names: Names) -> tuple[float, float]:
    """Return the variance within players, and that between their true means.

    The latter is 0 if chance alone explains the differences between the players.

    names: the player of each count.
    """
    _, player_numbers, games = np.unique(names, return_inverse=True, return_counts=True)
    players, n = len(games), len(counts)
    if players < 2 or n <= players:
        return float(counts.var()), 0.0
    means = np.bincount(player_numbers, counts) / games
    within = float(((counts - means[player_numbers]) ** 2).sum() / (n - players))
    spread = float((games * (means - counts.mean()) ** 2).sum() / (players - 1))
    typical_games = (n - (games**2).sum() / n) / (players - 1)
    return within, max(0.0, float((spread - within) / typical_games))
