"""The synthetic season as box scores: who played which game, and what was drawn for him. A pure function of the seed.

Another day only shifts the dates: the last round is always yesterday's.
"""

import hashlib
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from providers.stub.counts import Count, draw, latent, latents
from providers.stub.season import SEASONS, Group, Season
from providers.stub.world import ROSTERS

Columns = dict[str, NDArray[np.int64]]
TITLES = {"G": "Guard", "F": "Forward", "C": "Center", "IF": "Infielder", "OF": "Outfielder", "DH": "Hitter"}


def game_logs(sport: str, seed: int, today: date, since: date | None = None) -> list[dict[str, Any]]:
    """Box scores of the season, oldest first, as the stub feed sends them; about 4,000."""
    return [
        {**log, "played_on": played_on.isoformat()}
        for days_ago, log in _season(sport, seed)
        if (played_on := today - timedelta(days=days_ago)) >= (since or date.min)
    ]


@cache
def _season(sport: str, seed: int) -> list[tuple[int, dict[str, Any]]]:
    """Each box score without its date, and how many days ago it was played."""
    season = SEASONS[sport]
    players = roster(sport)
    drawn = _draw(sport, seed, players)
    logs = []
    for round_number in range(season.rounds):
        days_ago = 1 + (season.rounds - 1 - round_number) * season.every_days
        games = _games(sport, seed, round_number)
        for number, (name, team, group) in enumerate(players):
            columns, row = drawn[group], round_number * len(players) + number
            stats = {statistic: int(column[row]) for statistic, column in columns.items()}
            log = {"player_id": name, "player": name, "team": team, "position": group, "game": games[team]}
            logs.append((days_ago, log | {"stats": stats}))
    return logs


def roster(sport: str) -> list[tuple[str, str, str]]:
    """Name, team and position group of each player; those beside the known ones are called after their place."""
    season, players = SEASONS[sport], []
    for team, names in ROSTERS[sport].teams.items():
        places = [group for group, about in season.groups.items() for _ in range(about.players)]
        known = {name: season.positions[name] for name in names if name in season.positions}
        for group in known.values():
            places.remove(group)
        spread = sorted(set(places), key=places.index)  # the other known ones: one of each group, in turn
        for name in names:
            if name not in known:
                known[name] = spread.pop(0) if spread else places[0]
                places.remove(known[name])
        players += [(name, team, group) for name, group in known.items()]
        players += [(f"{team} {TITLES.get(group, group)} {n}", team, group) for n, group in enumerate(places, 1)]
    return players


def _games(sport: str, seed: int, round_number: int) -> dict[str, str]:
    """The game that each team plays in a round."""
    teams = sorted(ROSTERS[sport].teams)
    np.random.default_rng(_number(seed, sport, "round", round_number)).shuffle(teams)
    games = {}
    for home, away in zip(teams[::2], teams[1::2], strict=True):
        games[home] = games[away] = f"{_number(seed, sport, round_number, home):016x}"
    return games


def _draw(sport: str, seed: int, players: list[tuple[str, str, str]]) -> dict[str, Columns]:
    """Of each position group, each statistic for every player and round (rows of other groups stay unused)."""
    season = SEASONS[sport]
    rows = season.rounds * len(players)
    return {
        name: _draw_group(season, name, group, rows, np.random.default_rng(_number("counts", seed, sport, name)))
        for name, group in season.groups.items()
    }


def _draw_group(season: Season, name: str, group: Group, rows: int, rng: np.random.Generator) -> Columns:
    """The group's leading statistics and those that follow them, from one joint distribution."""
    leading = list(group.counts)
    counts = [Count(*group.counts[statistic]) for statistic in leading]
    stated = np.eye(len(leading))
    for i, row in enumerate(group.correlations, 1):
        stated[i, :i] = stated[:i, i] = row
    normals = latents(counts, stated)
    further = {s: f for s, f in season.further.items() if name in f.groups or not f.groups}
    for about in further.values():
        counts.append(Count(about.mean, about.deviation))
        weights = np.zeros(len(normals))
        if about.follows:  # it hangs on that one alone
            lead = leading.index(about.follows)
            weights = latent(counts[lead], counts[-1], about.r) * normals[lead]
        normals = np.block([[normals, weights[:, None]], [weights[None, :], np.eye(1)]])
    drawn = draw(counts, normals, rows, rng)
    columns = {statistic: drawn[:, i] for i, statistic in enumerate([*leading, *further])}
    for statistic, about in further.items():
        if about.on_top_of:
            columns[statistic] = columns[statistic] + columns[about.on_top_of]
    every = [*{s: 0 for g in season.groups.values() for s in g.counts}, *season.further]
    nothing = np.zeros(rows, dtype=np.int64)
    return {statistic: columns.get(statistic, nothing) for statistic in every}


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=8).digest())
