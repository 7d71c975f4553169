"""Compute what a target asks for, from stored box scores."""

from collections.abc import Callable

from caching.choices import CacheType
from caching.derivations import correlation, factor, player
from caching.derivations.games import PROPS, STATISTICS, Games
from caching.derivations.result import Computed, TooFewGames
from caching.models import CacheTarget
from caching.warming.box_score_query import read_games
from core.errors import WrongInput

Read = Callable[[str, tuple[str, ...]], Games]


def compute(target: CacheTarget, read: Read = read_games) -> Computed:
    """Raises TooFewGames, or WrongInput for a target that names what is not known."""
    if target.sport not in STATISTICS:
        raise WrongInput(f"nothing is known of {target.sport}", f"take one of {', '.join(STATISTICS)}")
    if target.cache_type == CacheType.PLAYER:
        return player.warm(read(target.sport, PROPS[target.sport]), target.name)
    games = read(target.sport, STATISTICS[target.sport])
    if not len(games.counts):
        raise TooFewGames(f"no game of {target.sport}")
    if target.cache_type == CacheType.FACTOR:
        return factor.warm(games)
    if target.name not in games.statistics:
        raise WrongInput(
            f"{target.name} is no statistic of {target.sport}", f"take one of {', '.join(games.statistics)}"
        )
    return correlation.warm(games, target.name)
