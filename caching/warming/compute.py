"""The computation that a target asks for, from stored box scores."""

from collections.abc import Callable

from caching.choices import CacheType
from caching.derivations import correlation, factor, player
from caching.derivations.games import PROPS, STATISTICS, Games
from caching.derivations.result import Computed, TooFewGames
from caching.models import CacheTarget
from caching.warming.box_score_query import read_games
from core.errors import WrongInput

ReadGames = Callable[[str, tuple[str, ...]], Games]


def compute(target: CacheTarget, read: ReadGames = read_games) -> Computed:
    """Return the value that the target names.

    read: returns the box scores of a sport with the given statistics.
    Raise TooFewGames, or WrongInput if the target names an unknown sport or statistic.
    """
    if target.sport not in STATISTICS:
        raise WrongInput(
            f"sport must be one of {', '.join(STATISTICS)} (got {target.sport})",
            "correct the target in the admin",
        )
    if target.cache_type == CacheType.PLAYER:
        return player.derive(read(target.sport, PROPS[target.sport]), target.name)
    games = read(target.sport, STATISTICS[target.sport])
    if not len(games.counts):
        raise TooFewGames(f"no game of {target.sport}")
    if target.cache_type == CacheType.FACTOR:
        return factor.derive(games)
    if target.name not in games.statistics:
        raise WrongInput(
            f"statistic must be one of {', '.join(games.statistics)} (got {target.name})",
            "correct the target in the admin",
        )
    return correlation.derive(games, target.name)
