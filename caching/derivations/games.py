"""Box scores as arrays, and the arithmetic that the warmers share. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MIN_GAMES = 30  # rows that a position group needs
Z95 = NormalDist().inv_cdf(0.975)

# Beside the groups themselves, the positions that belong to them.
GROUPS = {
    "NBA": {"PG": "G", "SG": "G", "SF": "F", "PF": "F"},
    "MLB": dict.fromkeys(("1B", "2B", "3B", "SS"), "IF") | dict.fromkeys(("LF", "CF", "RF"), "OF"),
    "NHL": dict.fromkeys(("C", "L", "R", "LW", "RW", "W"), "F"),
}
STATISTICS = {  # of correlation and factor entries
    "NBA": ("points", "rebounds", "assists", "threes", "steals"),
    "MLB": ("hits", "runs", "rbis", "home_runs", "strikeouts"),
    "NFL": ("passing_yards", "rushing_yards", "touchdowns", "receptions", "sacks"),
    "NHL": ("goals", "assists", "shots", "hits", "blocked_shots"),
}
PROPS = {  # of player entries
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
    """Box scores of one source, oldest first; all arrays are as long as there are rows.

    counts: shape (rows, statistics); NaN where a row does not hold the statistic.
    """

    source: str
    sport: str
    statistics: tuple[str, ...]
    players: NDArray[np.str_]
    groups: NDArray[np.str_]
    counts: Floats
    newest: date | None = None

    def column(self, statistic: str) -> Floats:
        return self.counts[:, self.statistics.index(statistic)]

    def by_group(self) -> Iterator[tuple[str, Floats]]:
        """Each position group with rows enough, by name."""
        for group in sorted(set(self.groups.tolist()) - {""}):
            rows = self.groups == group
            if rows.sum() >= MIN_GAMES:
                yield group, self.counts[rows]


def group_of(sport: str, position: str) -> str:
    return GROUPS.get(sport, {}).get(position, position)


def correlate(counts: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Pearson's r of each pair of columns over the rows that have both, and how many those are.

    counts: shape (rows, k); NaN where a row lacks the statistic. Returns two arrays of shape (k, k); r is NaN for a
    column that never varies. Source: Pearson 1895, Proc. R. Soc. 58:240-242.
    """
    has = ~np.isnan(counts)
    n = has.astype(np.int64).T @ has.astype(np.int64)
    if has.all():
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.atleast_2d(np.corrcoef(counts.T)) if len(counts) > 1 else np.full(n.shape, np.nan), n
    k = counts.shape[1]
    r = np.full((k, k), np.nan)
    for i in range(k):
        for j in range(i + 1):
            both = counts[has[:, i] & has[:, j]][:, [i, j]]
            if len(both) > 1 and (both.std(axis=0) > 0).all():
                r[i, j] = r[j, i] = np.atleast_2d(np.corrcoef(both.T))[0, 1]
    return r, n


def interval(r: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a correlation over n rows, -1 to 1. Source: Fisher 1921, Metron 1:3-32 (z-transform)."""
    if n <= 3 or abs(r) >= 1:
        return (-1.0, 1.0) if n <= 3 else (r, r)
    z, half = np.arctanh(r), Z95 / np.sqrt(n - 3)
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def said(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
