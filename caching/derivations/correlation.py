"""The correlation of one statistic with each other statistic of its sport, within position groups and pooled.

Pooled figures mix roles (a guard's assists, a center's rebounds): they are an artefact of positions as much as of play.
They are named "pooled" and never reported as the strongest.

Confidence: 1 minus half the width of the strongest pair's 95 % interval, 0 to 1. An interval from -1 to 1 is worth 0.
Source of the interval: Fisher 1921.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from caching.derivations.games import MIN_GAMES, Floats, Games, readable
from caching.derivations.payloads import CorrelationPayload, Pair, PositionGroup, StrongestPair
from caching.derivations.pearson import correlate, interval
from caching.derivations.result import Computed

POOLED = "pooled"
POINTS_AT_MOST = 3


class MeasuredPair(NamedTuple):
    """A correlation within one position group, of two statistics that both vary."""

    group: str
    other: str
    r: float
    low: float
    high: float
    n: int


def derive(games: Games, statistic: str) -> Computed:
    """Return the statistic's correlations. Raise ValueError if the games do not have the statistic."""
    within_groups = [_position_group(name, counts, games, statistic) for name, counts in games.by_group()]
    pooled = _position_group(POOLED, games.counts, games, statistic)
    strongest_first = _strongest_first(within_groups)
    payload = CorrelationPayload(statistic, games.source, [*within_groups, pooled])
    sample_size = len(games.counts)
    context = {"newest": str(games.newest), "source": games.source}
    if not strongest_first:
        narrative = (
            f"Too few games to correlate {readable(statistic)}: {sample_size}, "
            f"and a position group needs {MIN_GAMES} games."
        )
        confidence = 1 - _half_width(*interval(0.0, sample_size))
        return Computed(payload, narrative, [], confidence, sample_size, context)
    best = strongest_first[0]
    payload.strongest = StrongestPair(best.group, best.other, best.r)
    direction = "rise" if best.r >= 0 else "fall"
    narrative = (
        f"Among {best.group} players, {readable(statistic)} {direction} most with {readable(best.other)}: "
        f"r {best.r:.2f} over {best.n:,} games."
    )
    points = [_describe_pair(pair) for pair in strongest_first[:POINTS_AT_MOST]]
    return Computed(payload, narrative, points, 1 - _half_width(best.low, best.high), sample_size, context)


def _position_group(name: str, counts: Floats, games: Games, statistic: str) -> PositionGroup:
    column = games.statistics.index(statistic)
    r, n = correlate(counts)
    pairs = [
        _pair(other, float(r[column, i]), int(n[column, i])) for i, other in enumerate(games.statistics) if i != column
    ]
    return PositionGroup(name, len(counts), pairs)


def _pair(other: str, r: float, n: int) -> Pair:
    if math.isnan(r):
        return Pair(other, None, None, None, n)
    low, high = interval(r, n)
    return Pair(other, r, low, high, n)


def _strongest_first(groups: Sequence[PositionGroup]) -> list[MeasuredPair]:
    """Return the pairs that have a correlation, the largest |r| first."""
    measured = [
        MeasuredPair(group.group, pair.other, pair.r, pair.low, pair.high, pair.n)
        for group in groups
        for pair in group.pairs
        if pair.r is not None and pair.low is not None and pair.high is not None
    ]
    return sorted(measured, key=lambda pair: -abs(pair.r))


def _describe_pair(pair: MeasuredPair) -> str:
    return f"{pair.group}: {readable(pair.other)} {pair.r:+.2f} ({pair.low:+.2f} to {pair.high:+.2f})"


def _half_width(low: float, high: float) -> float:
    return (high - low) / 2
