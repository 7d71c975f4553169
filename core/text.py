"""Durations, moments and numbers as the console shows them, and the numbers that it reads back."""

UNITS = ((86400, "d"), (3600, "h"), (60, "min"))  # seconds per unit
DURATION_UNITS = ((3600, "h"), (60, "min"))
DIGITS_AT_MOST = 18  # any integer of so many digits fits into PostgreSQL's bigint


def elapsed(seconds: float) -> str:
    """Return a moment relative to now: `2 min ago`, or `in 2 min` if the seconds are negative."""
    return f"{whole_units(seconds)} ago" if seconds >= 0 else f"in {whole_units(-seconds)}"


def whole_units(seconds: float) -> str:
    """Return the seconds in whole numbers of the largest unit that fits: 59 s, 2 min, 7 h, 3 d."""
    size, unit = _largest_unit(seconds, UNITS)
    return f"{int(seconds // size)} {unit}"


def duration(seconds: float) -> str:
    """Return how long something takes, with at most one decimal: under 0.1 s, 4.2 s, 1.5 min, 3 h."""
    if seconds < 0.1:
        return "under 0.1 s"
    size, unit = _largest_unit(seconds, DURATION_UNITS)
    return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"


def number(value: float) -> str:
    """Return the value with four significant digits, or in whole numbers from 1,000 on: 0.001, 17.43, 1,234,567."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def parse_bigint(text: str) -> int | None:
    """Return the whole number that the text names, 0 or more. If it has more than 18 digits or is none, return None."""
    return int(text) if text.isdecimal() and len(text) <= DIGITS_AT_MOST else None


def _largest_unit(seconds: float, units: tuple[tuple[int, str], ...]) -> tuple[int, str]:
    return next(((size, unit) for size, unit in units if seconds >= size), (1, "s"))
