"""The JSON documents that the derivations make, one per type of entry.

A field's name is its JSON key, and the fields' order is the order of the keys: an entry's hash depends on both. The
limits in the annotations are checked when a stored document is decoded, not when a derivation makes one. A stored
document may have further keys.
"""

from typing import Annotated, Any

import msgspec

from caching.choices import CacheType

Count = Annotated[int, msgspec.Meta(ge=0)]
Coefficient = Annotated[float, msgspec.Meta(ge=-1.000001, le=1.000001)]  # of correlation; rounding may pass 1 a little
Share = Annotated[float, msgspec.Meta(ge=-0.000001, le=1.000001)]
Shares = Annotated[list[Share], msgspec.Meta(min_length=3, max_length=3)]
Loadings = Annotated[list[list[float]], msgspec.Meta(min_length=3, max_length=3)]
StandardError = Annotated[float, msgspec.Meta(ge=0)]
LastGames = Annotated[list[float], msgspec.Meta(max_length=5)]


class Pair(msgspec.Struct):
    """The correlation of one statistic with another one over `n` games, and its 95 % interval.

    The three numbers are None if one of the two statistics never varied.
    """

    other: str = msgspec.field(name="with")
    r: Coefficient | None
    low: Coefficient | None
    high: Coefficient | None
    n: Count


class PositionGroup(msgspec.Struct):
    """The pairs of one position group and the number of its games. All groups together have the name "pooled"."""

    group: str
    n: Count
    pairs: list[Pair]


class StrongestPair(msgspec.Struct):
    """The pair with the largest |r| over the position groups."""

    group: str
    other: str = msgspec.field(name="with")
    r: Coefficient


class CorrelationPayload(msgspec.Struct):
    """The payload of a correlation entry."""

    statistic: str
    source: str
    groups: list[PositionGroup]
    strongest: StrongestPair | None = None


class FactorPayload(msgspec.Struct):
    """The payload of a factor entry: three components over `n` games.

    explained_variance: the share of the variance that each component explains, 0 to 1.
    loadings: one list per component, with one number per statistic.
    """

    source: str
    n: Count
    statistics: list[str]
    explained_variance: Shares
    loadings: Loadings


class Projection(msgspec.Struct):
    """The expected value of one statistic in a player's next game, in the statistic's own unit.

    ewma: the exponentially weighted mean. projection: that mean, shrunk to the mean of the position group.
    last: the counts of up to five games, the newest last.
    """

    statistic: str
    ewma: float
    projection: float
    standard_error: StandardError
    last: LastGames


class PlayerPayload(msgspec.Struct, kw_only=True):
    """The payload of a player entry."""

    player: str
    source: str
    games: Count
    position: str = ""
    projections: Annotated[list[Projection], msgspec.Meta(min_length=1)]


Payload = CorrelationPayload | FactorPayload | PlayerPayload

# These raise msgspec.ValidationError for a document that its type does not allow, msgspec.DecodeError for no JSON.
DECODERS: dict[str, "msgspec.json.Decoder[Any]"] = {
    CacheType.CORRELATION: msgspec.json.Decoder(CorrelationPayload),
    CacheType.FACTOR: msgspec.json.Decoder(FactorPayload),
    CacheType.PLAYER: msgspec.json.Decoder(PlayerPayload),
}
