"""States as symbol, color and word, and moments relative to now."""

from datetime import datetime
from typing import Any, Protocol

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.text import elapsed


class Styled(Protocol):
    """A choice with a symbol and a color, such as a member of StyledChoices."""

    symbol: str
    color: str

    @property
    def label(self) -> Any: ...


def badge(choice: Styled) -> SafeString:
    """Return the choice as symbol, color and word."""
    return styled_word(choice.color, choice.symbol, choice.label)


def on_off(is_on: bool, on: str = "on", off: str = "off") -> SafeString:
    """Return a switch as symbol, color and one of the two words."""
    return styled_word("green", "✓", on) if is_on else styled_word("gray", "–", off)


def styled_word(color: str, symbol: str, word: str) -> SafeString:
    """Return the word with its symbol, in one of the colors of slipway.css: green, red, orange, blue or gray."""
    html = '<span class="sw-badge sw-{}"><span aria-hidden="true">{}</span> {}</span>'
    return format_html(html, color, symbol, word)


def ago(moment: datetime | None, never: str = "never") -> SafeString | str:
    """Return the moment relative to now, for example `2 min ago`, with the absolute time in UTC as a tooltip."""
    if moment is None:
        return never
    absolute = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    relative = elapsed((timezone.now() - moment).total_seconds())
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), absolute, relative)
