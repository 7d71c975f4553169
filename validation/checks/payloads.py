"""What a stored payload has to look like, by its type. More fields may stand beside these."""

from typing import Annotated, Any

import msgspec

from caching.choices import CacheType

Count = Annotated[int, msgspec.Meta(ge=0)]
R = Annotated[float, msgspec.Meta(ge=-1.000001, le=1.000001)]
Share = Annotated[float, msgspec.Meta(ge=-0.000001, le=1.000001)]
Factors = Annotated[list[Share], msgspec.Meta(min_length=3, max_length=3)]
Rows = Annotated[list[list[float]], msgspec.Meta(min_length=3, max_length=3)]
Last = Annotated[list[float], msgspec.Meta(max_length=5)]


class Pair(msgspec.Struct, rename={"other": "with"}):
    other: str
    r: R | None
    low: R | None
    high: R | None
    n: Count


class Group(msgspec.Struct):
    group: str
    n: Count
    pairs: list[Pair]


class Strongest(msgspec.Struct, rename={"other": "with"}):
    group: str
    other: str
    r: R


class Correlation(msgspec.Struct):
    statistic: str
    source: str
    groups: list[Group]
    strongest: Strongest | None = None


class Factor(msgspec.Struct):
    source: str
    n: Count
    statistics: list[str]
    explained_variance: Factors
    loadings: Rows


class Projection(msgspec.Struct):
    statistic: str
    ewma: float
    projection: float
    standard_error: Annotated[float, msgspec.Meta(ge=0)]
    last: Last


class Player(msgspec.Struct):
    player: str
    source: str
    games: Count
    projections: Annotated[list[Projection], msgspec.Meta(min_length=1)]


DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    CacheType.CORRELATION: msgspec.json.Decoder(Correlation),
    CacheType.FACTOR: msgspec.json.Decoder(Factor),
    CacheType.PLAYER: msgspec.json.Decoder(Player),
}


def problem(cache_type: str, data: bytes) -> str:
    """What is wrong with a payload; nothing where it is as its type has it."""
    decoder = DECODERS.get(cache_type)
    if decoder is None:
        return f"{cache_type} is no type of entry"
    try:
        decoder.decode(data)
    except msgspec.ValidationError as error:
        return f"not its type's shape: {error}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"no JSON: {error}"
    return ""
