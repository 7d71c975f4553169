"""States as symbol, color and word; moments as people say them, the absolute time on hover."""

from datetime import datetime
from typing import Any, Protocol

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.text import elapsed


class HasLook(Protocol):
    symbol: str
    color: str

    @property
    def label(self) -> Any: ...


def badge(choice: HasLook) -> SafeString:
    """A choice as symbol, color and word."""
    return mark(choice.color, choice.symbol, choice.label)


def on_off(is_on: bool, on: str = "on", off: str = "off") -> SafeString:
    return mark("green", "✓", on) if is_on else mark("gray", "–", off)


def mark(color: str, symbol: str, word: str) -> SafeString:
    """A word that is told by color and symbol too."""
    html = '<span class="sw-badge sw-{}"><span aria-hidden="true">{}</span> {}</span>'
    return format_html(html, color, symbol, word)


def ago(moment: datetime | None, never: str = "never") -> SafeString | str:
    """A moment as "2 min ago", the absolute time on hover."""
    if moment is None:
        return never
    absolute = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    relative = elapsed((timezone.now() - moment).total_seconds())
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), absolute, relative)
