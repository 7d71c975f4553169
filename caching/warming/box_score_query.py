"""A sport's box scores, read from the database into arrays with one query."""

import numpy as np
from django.db import connection

from caching import sql
from caching.derivations.games import Games, group_of


def read_games(sport: str, statistics: tuple[str, ...]) -> Games:
    """Return the box scores of the sport, the oldest first; those of the stub feed only if no others exist."""
    columns = ", ".join(sql.STATISTIC.format(statistic=statistic) for statistic in statistics)
    with connection.cursor() as cursor:
        cursor.execute(sql.READ_GAMES.format(columns=columns), {"sport": sport})
        rows = cursor.fetchall()
    if not rows:
        no_names = np.empty(0, dtype=np.str_)
        return Games("", sport, statistics, no_names, no_names, np.empty((0, len(statistics))))
    sources, players, positions, days, *counts = zip(*rows, strict=True)
    groups = {position: group_of(sport, position) for position in set(positions)}
    return Games(
        source=", ".join(sorted(set(sources))),
        sport=sport,
        statistics=statistics,
        players=np.array(players),
        groups=np.array([groups[position] for position in positions]),
        counts=np.array(counts, dtype=np.float64).T,
        newest=days[-1],
    )
