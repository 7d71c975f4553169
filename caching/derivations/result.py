"""The result that every derivation returns, and the encoding of its payload as JSON."""

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from caching.derivations.payloads import Payload


@dataclass(frozen=True, slots=True)
class Computed:
    """A computed value.

    payload: the document that consumers get.
    narrative: one sentence about the result. key_points: up to three short lines.
    confidence: 0 to 1, by the formula that the derivation's module documents.
    sample_size: the number of games. context: which input it was computed from.
    """

    payload: Payload
    narrative: str
    key_points: list[str]
    confidence: float
    sample_size: int
    context: dict[str, Any]


def encode_payload(payload: Payload) -> bytes:
    """Return the payload as JSON. Raise ValueError if it holds NaN or infinity, which JSON cannot represent."""
    document = msgspec.to_builtins(payload)
    if _has_nonfinite_number(document):
        raise ValueError("the payload must not hold NaN or infinity; see the arithmetic of its derivation")
    return orjson.dumps(document)


def _has_nonfinite_number(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_nonfinite_number, value.values()))
    return isinstance(value, list) and any(map(_has_nonfinite_number, value))


class TooFewGames(Exception):
    """The stored box scores do not suffice for the computation. The message names what is missing."""
