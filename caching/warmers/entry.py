"""What a warmer answers, whichever it is."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Computed:
    """payload: as consumers get it. confidence: 0 to 1, by the warmer's documented formula."""

    payload: dict[str, Any]
    narrative: str
    key_points: list[str]
    confidence: float
    sample_size: int
    context: dict[str, Any]


class TooFewGames(Exception):
    """TooFewGames(what there is)."""
