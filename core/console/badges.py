"""States as symbol, colour and word; moments as people say them, the absolute time on hover."""

from datetime import datetime
from typing import Any, Protocol

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString


class HasLook(Protocol):
    symbol: str
    colour: str

    @property
    def label(self) -> Any: ...


def badge(choice: HasLook) -> SafeString:
    """A choice as symbol, colour and word."""
    return mark(choice.colour, choice.symbol, choice.label)


def on_off(is_on: bool, on: str = "on", off: str = "off") -> SafeString:
    return mark("green", "✓", on) if is_on else mark("gray", "–", off)


FRESHNESS = {
    "fresh": ("green", "●", "fresh"),
    "due": ("orange", "◑", "to be refreshed"),
    "stale": ("red", "○", "stale"),
}


def freshness(soft_expires_at: datetime, expires_at: datetime) -> SafeString:
    now = timezone.now()
    return mark(*FRESHNESS["fresh" if now < soft_expires_at else "due" if now < expires_at else "stale"])


def mark(colour: str, symbol: str, word: str) -> SafeString:
    """A word that is told by colour and symbol too."""
    html = '<span class="sw-badge sw-{}"><span aria-hidden="true">{}</span> {}</span>'
    return format_html(html, colour, symbol, word)


def ago(moment: datetime | None, never: str = "never") -> SafeString | str:
    """A moment as "2 min ago", the absolute time on hover."""
    if moment is None:
        return never
    absolute = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    relative = elapsed((timezone.now() - moment).total_seconds())
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), absolute, relative)


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
