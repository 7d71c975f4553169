"""Box scores as arrays, and the arithmetic that the derivations share. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Names = NDArray[np.str_]
MIN_GAMES = 30  # rows that a position group needs
Z95 = NormalDist().inv_cdf(0.975)  # standard deviations to each side that hold 95 % of a normal distribution

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


def correlate(counts: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return Pearson's r of each pair of columns over the rows that have both, and the numbers of those rows.

    counts: shape (rows, k); NaN where a row lacks the statistic.
    Returns two arrays of shape (k, k); r is NaN for a column that never varies.
    Source: Pearson 1895, Proc. R. Soc. 58:240-242.
    """
    is_present = ~np.isnan(counts)
    n = is_present.astype(np.int64).T @ is_present.astype(np.int64)
    k = counts.shape[1]
    r = np.full((k, k), np.nan)
    if is_present.all():
        if len(counts) > 1:
            with np.errstate(invalid="ignore", divide="ignore"):
                r = np.atleast_2d(np.corrcoef(counts.T))
        return r, n
    for i in range(k):
        for j in range(i + 1):
            complete = counts[is_present[:, i] & is_present[:, j]][:, [i, j]]
            if len(complete) > 1 and (complete.std(axis=0) > 0).all():
                r[i, j] = r[j, i] = np.atleast_2d(np.corrcoef(complete.T))[0, 1]
    return r, n


def interval(r: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a correlation over n rows, within -1 to 1.

    The interval of three rows or fewer is (-1, 1). Source: Fisher 1921, Metron 1:3-32 (z-transform).
    """
    if n <= 3:
        return -1.0, 1.0
    if abs(r) >= 1:
        return r, r
    z, half_width = np.arctanh(r), Z95 / np.sqrt(n - 3)
    return float(np.tanh(z - half_width)), float(np.tanh(z + half_width))


def readable(name: str) -> str:
    """Return a statistic's name with spaces in place of the underscores."""
    return name.replace("_", " ")


def readable_list(names: Iterable[str]) -> str:
    """Return the names of statistics as readable text, separated by commas."""
    return ", ".join(map(readable, names))
