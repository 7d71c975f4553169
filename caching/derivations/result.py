"""What a warmer answers, whichever it is."""

import math
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Computed:
    """payload: as consumers get it. confidence: 0 to 1, by the warmer's documented formula."""

    payload: dict[str, Any]
    narrative: str
    key_points: list[str]
    confidence: float
    sample_size: int
    context: dict[str, Any]


def encode(payload: dict[str, Any]) -> bytes:
    """The payload as JSON. Raises ValueError for a number that JSON has no word for, TypeError for what is no JSON."""
    if _has_no_number(payload):
        raise ValueError("a number that is none")
    return orjson.dumps(payload)


def _has_no_number(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_no_number, value.values()))
    return isinstance(value, list) and any(map(_has_no_number, value))


class TooFewGames(Exception):
    """TooFewGames(what there is)."""
