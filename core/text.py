"""Durations, moments and numbers as the console shows them."""


def elapsed(seconds: float) -> str:
    """A moment so long ago, as people say it; negative ones lie ahead."""
    return f"{whole_units(seconds)} ago" if seconds >= 0 else f"in {whole_units(-seconds)}"


def whole_units(seconds: float) -> str:
    """The largest unit that fits, the rest dropped: 59 s, 2 min, 7 h, 3 d."""
    units = ((86400, "d"), (3600, "h"), (60, "min"))
    size, unit = next(((size, unit) for size, unit in units if seconds >= size), (1, "s"))
    return f"{int(seconds // size)} {unit}"


def duration(seconds: float) -> str:
    """How long something takes, as people say it: under 0.1 s, 4.2 s, 1.5 min, 3 h."""
    if seconds < 0.1:
        return "under 0.1 s"
    size, unit = next(((size, unit) for size, unit in ((3600, "h"), (60, "min")) if seconds >= size), (1, "s"))
    return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"


def number(value: float) -> str:
    """Four digits that mean something, and none that was rounded away: 0.001, 17.43, 1,234,567."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
