"""The ranges of the numbers in policies. Forms, operations and the database's constraints refuse what is outside. Pure.

A number without a range could not be judged with: a stage of a million years has no deadline, and NaN compares with
nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rollout.choices import Guard


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from `lowest` to `highest`, both included. unit: for messages, such as `minutes`."""

    lowest: float
    highest: float
    unit: str = ""

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends, as a constraint's condition takes them."""
        return self.lowest, self.highest

    def includes(self, value: float) -> bool:
        """Return whether the value is in the range. NaN is in none."""
        return self.lowest <= value <= self.highest

    def clamp(self, value: float) -> float:
        """Return the value if it is in the range, else the nearest end; for NaN the highest number."""
        return max(self.lowest, value) if value <= self.highest else self.highest

    def __str__(self) -> str:
        ends = f"from {_plain(self.lowest)} to {_plain(self.highest)}"
        return f"{ends} {self.unit}".rstrip()


def _plain(value: float) -> str:
    """Return a number without an exponent or trailing zeros, with commas: 0.000001, 43,200."""
    text = f"{value:,.6f}"
    return text.rstrip("0").rstrip(".")


SHARE = Range(0, 1)
STAGE_RANGES: Mapping[str, Range] = {
    "minutes": Range(0, 43_200, "minutes"),  # 30 days
    "window_minutes": Range(1, 60, "minutes"),  # Redis keeps the slots of a window for an hour
    "cool_down_minutes": Range(0, 10_080, "minutes"),  # 7 days
    "errors_in_a_row": Range(1, 1000, "ticks"),
    "first_requests": Range(1, 100_000, "requests"),
    "hold_back_percent": Range(0, 50, "percent"),
}
TOLERANCE = Range(1, 100)
MIN_SAMPLES = Range(1, 10_000_000, "samples")
LIMIT_RANGES: Mapping[Guard, Range] = {
    **dict.fromkeys(Guard, SHARE),
    Guard.ERRORS: Range(0, 1_000_000, "errors"),
    Guard.P95_MS: Range(0, 80_000, "ms"),  # slower calls are counted as 80 s
    Guard.ERROR_RATE: Range(0.000001, 0.5),  # at 0 the first error would be a violation
}


def describe_outside(name: str, allowed: Range, value: float | None) -> str:
    """Return what is wrong with a value, as `minutes must be from 0 to 43,200 minutes (got 1e+12)`.

    An empty text means that the value is in the range, or empty.
    """
    if value is None or allowed.includes(value):
        return ""
    return f"{name} must be {allowed} (got {value:g})"
