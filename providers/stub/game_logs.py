"""The synthetic season as box scores: who played which game, and the counts drawn for each player. Pure.

The seed alone decides the rows. The day only shifts their dates: the last round is always yesterday's.
"""

import hashlib
from datetime import date, timedelta
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from providers.stub.counts import CountDistribution, draw_counts, latent_correlation, latent_matrix
from providers.stub.season import SEASONS, FurtherStatistic, PositionGroup, Season
from providers.stub.world import ROSTERS

Counts = dict[str, NDArray[np.int64]]  # statistic to its count in each row
TITLES = {"G": "Guard", "F": "Forward", "C": "Center", "IF": "Infielder", "OF": "Outfielder", "DH": "Hitter"}


class RosterPlayer(NamedTuple):
    """A player of the synthetic season."""

    name: str
    team: str
    group: str  # position group


def game_logs(sport: str, seed: int, today: date, since: date | None = None) -> list[dict[str, Any]]:
    """Return the box scores of the season as the stub feed sends them, oldest first; about 4,000.

    since: the first day whose games are wanted; None: all of them.
    Raises KeyError for an unknown sport.
    """
    logs = []
    for days_ago, log in _undated_season(sport, seed):
        played_on = today - timedelta(days=days_ago)
        if since is None or played_on >= since:
            logs.append({**log, "played_on": played_on.isoformat()})
    return logs


@cache
def _undated_season(sport: str, seed: int) -> list[tuple[int, dict[str, Any]]]:
    """Return each box score without its date, after the number of days since its game was played."""
    season = SEASONS[sport]
    players = roster(sport)
    drawn = _draw_sport(sport, seed, len(players))
    logs = []
    for round_number in range(season.rounds):
        days_ago = 1 + (season.rounds - 1 - round_number) * season.every_days
        games = _pair_teams(sport, seed, round_number)
        for number, player in enumerate(players):
            row = round_number * len(players) + number
            stats = {statistic: int(counts[row]) for statistic, counts in drawn[player.group].items()}
            log = {
                "player_id": player.name,
                "player": player.name,
                "team": player.team,
                "position": player.group,
                "game": games[player.team],
                "stats": stats,
            }
            logs.append((days_ago, log))
    return logs


def roster(sport: str) -> list[RosterPlayer]:
    """Return the players of all teams. Players without a known name are called after their team and position."""
    season = SEASONS[sport]
    players: list[RosterPlayer] = []
    for team, names in ROSTERS[sport].teams.items():
        open_places = [name for name, group in season.groups.items() for _ in range(group.players)]
        groups = {name: season.positions[name] for name in names if name in season.positions}
        for group in groups.values():
            open_places.remove(group)
        # The team's other named players get one place of each group, in turn.
        groups_in_turn = sorted(set(open_places), key=open_places.index)
        for name in names:
            if name not in groups:
                groups[name] = groups_in_turn.pop(0) if groups_in_turn else open_places[0]
                open_places.remove(groups[name])
        players += [RosterPlayer(name, team, group) for name, group in groups.items()]
        players += [
            RosterPlayer(f"{team} {TITLES.get(group, group)} {number}", team, group)
            for number, group in enumerate(open_places, 1)
        ]
    return players


def _pair_teams(sport: str, seed: int, round_number: int) -> dict[str, str]:
    """Return the game that each team plays in a round."""
    teams = sorted(ROSTERS[sport].teams)
    np.random.default_rng(_digest_number(seed, sport, "round", round_number)).shuffle(teams)
    games = {}
    for home, away in zip(teams[::2], teams[1::2], strict=True):
        games[home] = games[away] = f"{_digest_number(seed, sport, round_number, home):016x}"
    return games


def _draw_sport(sport: str, seed: int, players: int) -> dict[str, Counts]:
    """Return, for each position group, the counts of every player and round; rows of other groups stay unused."""
    season = SEASONS[sport]
    rows = season.rounds * players
    return {
        name: _draw_group(season, name, group, rows, np.random.default_rng(_digest_number("counts", seed, sport, name)))
        for name, group in season.groups.items()
    }


def _draw_group(season: Season, name: str, group: PositionGroup, rows: int, rng: np.random.Generator) -> Counts:
    """Return the group's leading statistics and those that follow them, drawn from one joint distribution."""
    leading = list(group.counts)
    counts = [CountDistribution(*group.counts[statistic]) for statistic in leading]
    latent = latent_matrix(counts, _symmetric(group.correlations))
    further = {
        statistic: about for statistic, about in season.further.items() if not about.groups or name in about.groups
    }
    for about in further.values():
        counts.append(CountDistribution(about.mean, about.deviation))
        latent = _append(latent, leading, counts, about)
    drawn = draw_counts(counts, latent, rows, rng)
    columns = {statistic: drawn[:, i] for i, statistic in enumerate([*leading, *further])}
    for statistic, about in further.items():
        if about.on_top_of:
            columns[statistic] = columns[statistic] + columns[about.on_top_of]
    zeros = np.zeros(rows, dtype=np.int64)
    return {statistic: columns.get(statistic, zeros) for statistic in _all_statistics(season)}


def _symmetric(lower_triangle: tuple[tuple[float, ...], ...]) -> NDArray[np.float64]:
    """Return the correlation matrix with this lower triangle, which leaves out the diagonal."""
    matrix = np.eye(len(lower_triangle) + 1)
    for i, row in enumerate(lower_triangle, 1):
        matrix[i, :i] = matrix[:i, i] = row
    return matrix


def _append(
    latent: NDArray[np.float64], leading: list[str], counts: list[CountDistribution], about: FurtherStatistic
) -> NDArray[np.float64]:
    """Return the latent correlations with one more variable, that of the last count.

    It depends on the leading statistic that it follows and, through that one, on the others; or on none.
    """
    weights = np.zeros(len(latent))
    if about.follows:
        lead = leading.index(about.follows)
        weights = latent_correlation(counts[lead], counts[-1], about.r) * latent[lead]
    return np.block([[latent, weights[:, None]], [weights[None, :], np.eye(1)]])


def _all_statistics(season: Season) -> list[str]:
    """Return the statistics that every box score of the season has, in their order."""
    leading = {statistic: None for group in season.groups.values() for statistic in group.counts}
    return [*leading, *season.further]


def _digest_number(*parts: object) -> int:
    """Return a number from 0 to 2**64 - 1 that depends on the parts alone."""
    return int.from_bytes(hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=8).digest())
