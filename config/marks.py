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
    return _mark(choice.colour, choice.symbol, choice.label)


def on_off(is_on: bool, on: str = "on", off: str = "off") -> SafeString:
    return _mark("green", "✓", on) if is_on else _mark("gray", "–", off)


def freshness(soft_expires_at: datetime, expires_at: datetime) -> SafeString:
    now = timezone.now()
    if now < soft_expires_at:
        return _mark("green", "●", "fresh")
    return _mark("orange", "◑", "to be refreshed") if now < expires_at else _mark("red", "○", "stale")


def _mark(colour: str, symbol: str, word: str) -> SafeString:
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
    """Seconds as people say them; negative ones lie ahead."""
    amount = abs(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if amount >= size:
            text = f"{int(amount // size)} {unit}"
            break
    else:
        text = f"{int(amount)} s"
    return f"{text} ago" if seconds >= 0 else f"in {text}"
