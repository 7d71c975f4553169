"""Box scores as arrays, which the derivations share. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Names = NDArray[np.str_]
MIN_GAMES = 30  # rows that a position group needs

# The position group of each position. A position that is not listed is its own group.
GROUPS = {
    "NBA": {"PG": "G", "SG": "G", "SF": "F", "PF": "F"},
    "MLB": dict.fromkeys(("1B", "2B", "3B", "SS"), "IF") | dict.fromkeys(("LF", "CF", "RF"), "OF"),
    "NHL": dict.fromkeys(("C", "L", "R", "LW", "RW", "W"), "F"),
}
# The statistics of correlation and factor entries.
STATISTICS = {
    "NBA": ("points", "rebounds", "assists", "threes", "steals"),
    "MLB": ("hits", "runs", "rbis", "home_runs", "strikeouts"),
    "NFL": ("passing_yards", "rushing_yards", "touchdowns", "receptions", "sacks"),
    "NHL": ("goals", "assists", "shots", "hits", "blocked_shots"),
}
# The statistics of player entries.
PROPS = {
    "NBA": (
        *STATISTICS["NBA"],
        *("blocks", "turnovers", "fouls", "field_goals_made", "field_goals_attempted", "threes_attempted"),
        *("free_throws_made", "free_throws_attempted", "offensive_rebounds", "defensive_rebounds"),
    ),
    "MLB": (*STATISTICS["MLB"], "walks", "total_bases", "stolen_bases", "doubles", "at_bats"),
    "NFL": (*STATISTICS["NFL"], "completions", "attempts", "interceptions"),
    "NHL": STATISTICS["NHL"],
}


@dataclass(frozen=True, slots=True)
class Games:
    """The box scores of one source, the oldest first. All arrays have the same number of rows.

    counts: shape (rows, statistics); NaN where a row does not hold the statistic.
    newest: the day of the last row, or None if there are no rows.
    """

    source: str
    sport: str
    statistics: tuple[str, ...]
    players: Names
    groups: Names
    counts: Floats
    newest: date | None = None

    def column(self, statistic: str) -> Floats:
        """Return the counts of one statistic. Raise ValueError if the box scores do not have it."""
        return self.counts[:, self.statistics.index(statistic)]

    def by_group(self) -> Iterator[tuple[str, Floats]]:
        """Yield the name and the counts of each position group with at least MIN_GAMES (30) rows, sorted by name."""
        for group in sorted(set(self.groups.tolist()) - {""}):
            is_member = self.groups == group
            if is_member.sum() >= MIN_GAMES:
                yield group, self.counts[is_member]


def group_of(sport: str, position: str) -> str:
    """Return the position group of a position."""
    return GROUPS.get(sport, {}).get(position, position)


def readable(name: str) -> str:
    """Return a statistic's name with spaces in place of the underscores."""
    return name.replace("_", " ")


def readable_list(names: Iterable[str]) -> str:
    """Return the names of statistics as readable text, separated by commas."""
    return ", ".join(map(readable, names))
