"""How one statistic goes along with the others of its sport, within position groups and pooled.

Pooled figures mix roles (a guard's assists, a center's rebounds): an artefact of positions as much as of play. They are
named so and never the strongest.

Confidence: one less half the width of the strongest pair's 95 % interval, 0 to 1: an interval that spans everything is
worth nothing. Source of the interval: Fisher 1921.
"""

import math
from typing import Any

from caching.derivations.games import MIN_GAMES, Games, correlate, interval
from caching.derivations.result import Computed

POOLED = "pooled"


def warm(games: Games, statistic: str) -> Computed:
    """For a statistic of the games. Raises ValueError for one that they do not hold."""
    groups = [_group(name, games, counts, statistic) for name, counts in games.by_group()]
    groups.append(_group(POOLED, games, games.counts, statistic))
    within = [(group["group"], pair) for group in groups[:-1] for pair in group["pairs"] if pair["r"] is not None]
    best = max(within, key=lambda found: abs(found[1]["r"]), default=None)
    payload: dict[str, Any] = {"statistic": statistic, "source": games.source, "groups": groups, "strongest": None}
    sample, context = len(games.counts), {"newest": str(games.newest), "source": games.source}
    name = statistic.replace("_", " ")
    if best is None:
        told = f"Too few games to tell what {name} goes along with: {sample}, and a position group needs {MIN_GAMES}."
        return Computed(payload, told, [], _unsure(sample), sample, context)
    group, pair = best
    payload["strongest"] = {"group": group, "with": pair["with"], "r": pair["r"]}
    other, sign = pair["with"].replace("_", " "), "with" if pair["r"] >= 0 else "against"
    told = f"Of {group} players, {name} go most {sign} {other}: r {pair['r']:.2f} over {pair['n']:,} games."
    points = [_point(found_group, found) for found_group, found in sorted(within, key=lambda f: -abs(f[1]["r"]))[:3]]
    return Computed(payload, told, points, 1 - (pair["high"] - pair["low"]) / 2, sample, context)


def _group(name: str, games: Games, counts: Any, statistic: str) -> dict[str, Any]:
    place = games.statistics.index(statistic)
    r, n = correlate(counts)
    pairs = [
        _pair(other, float(r[place, i]), int(n[place, i])) for i, other in enumerate(games.statistics) if i != place
    ]
    return {"group": name, "n": len(counts), "pairs": pairs}


def _pair(other: str, r: float, n: int) -> dict[str, Any]:
    if math.isnan(r):
        return {"with": other, "r": None, "low": None, "high": None, "n": n}
    low, high = interval(r, n)
    return {"with": other, "r": r, "low": low, "high": high, "n": n}


def _point(group: str, pair: dict[str, Any]) -> str:
    return f"{group}: {pair['with'].replace('_', ' ')} {pair['r']:+.2f} ({pair['low']:+.2f} to {pair['high']:+.2f})"


def _unsure(n: int) -> float:
    """What the interval of a correlation of 0 over so many games is worth."""
    low, high = interval(0.0, n)
    return 1 - (high - low) / 2
