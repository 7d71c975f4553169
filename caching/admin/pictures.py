"""Entries drawn: a correlation as a heat map, a factor model as bars, a player's projections with their range. Pure.

Inline SVG without script, in the colors of the page, light or dark; each says in words what it shows.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from caching.choices import CacheType

LABEL, CELL, ROW, BAR = 120.0, 92.0, 34.0, 260.0  # of the drawing, which is scaled to its place
RANGE = 1.96  # standard errors to each side: 95 % of a normal distribution
FIGURE = (
    '<figure class="sw-picture"><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    "<figcaption>{}</figcaption></figure>"
)


def picture(cache_type: CacheType, payload: dict[str, Any]) -> SafeString:
    """Raises KeyError, TypeError or IndexError for a payload that is not its type's."""
    draw = {CacheType.CORRELATION: heat_map, CacheType.FACTOR: bars, CacheType.PLAYER: ranges}
    return draw[cache_type](payload)


def heat_map(payload: dict[str, Any]) -> SafeString:
    """Groups down, statistics across; blue goes along, orange goes against, the stronger the deeper."""
    groups, others = payload["groups"], [pair["with"] for pair in payload["groups"][0]["pairs"]]
    parts = [_text(LABEL + CELL * (i + 0.5), 20, _words(name), "sw-mid") for i, name in enumerate(others)]
    for row, group in enumerate(groups, 1):
        parts.append(_text(LABEL - 8, ROW * (row + 0.65), f"{group['group']} ({group['n']:,})", "sw-end"))
        parts += [_cell(LABEL + CELL * i, ROW * row, pair) for i, pair in enumerate(group["pairs"])]
    told = "; ".join(
        f"{group['group']}: {_list((pair['with'], pair['r']) for pair in group['pairs'])}" for group in groups
    )
    caption = "Pearson's r within each position group (games); pooled mixes the positions' roles."
    size = LABEL + CELL * len(others), ROW * (len(groups) + 1)
    return _figure(size, f"Correlations of {_words(payload['statistic'])}. {told}", parts, caption)


def _cell(x: float, y: float, pair: dict[str, Any]) -> str:
    r = pair["r"]
    value = _text(x + CELL / 2, y + ROW * 0.65, "–" if r is None else _signed(r), "sw-mid")
    if r is None:
        return value
    told = f"95 % {_signed(pair['low'])} to {_signed(pair['high'])}, n {pair['n']:,}"
    box = _rect(x + 1, y + 1, CELL - 2, ROW - 2, _sign(r), min(1.0, abs(r)) * 0.85)
    return f"<g><title>{escape(_words(pair['with']))}: {_signed(r)}, {told}</title>{box}{value}</g>"


def bars(payload: dict[str, Any]) -> SafeString:
    """A block per factor; a bar per statistic, from -1 on the left to 1 on the right."""
    parts, told, y, middle = [], [], 0.0, LABEL + BAR / 2
    for number, (row, share) in enumerate(zip(payload["loadings"], payload["explained_variance"], strict=True), 1):
        loadings = list(zip(payload["statistics"], row, strict=True))
        told.append(f"factor {number}, {share:.0%}: {_list(loadings)}")
        parts.append(_text(0, y + 22, f"Factor {number}: {share:.0%} of the variance", "sw-strong"))
        for name, loading in loadings:
            y += 22
            length = abs(loading) * BAR / 2
            parts.append(_text(LABEL - 8, y + 20, _words(name), "sw-end"))
            parts.append(_rect(min(middle, middle + loading * BAR / 2), y + 8, max(1.0, length), 16, _sign(loading)))
            parts.append(_text(LABEL + BAR + 12, y + 20, _signed(loading)))
        y += 40
    parts.append(_line(middle, middle, 26, y, "sw-axis"))
    caption = f"Loadings of three principal components over {payload['n']:,} games; bars run from -1 to +1."
    return _figure((LABEL + BAR + 60, y), f"Factor model. {'; '.join(told)}", parts, caption)


def ranges(payload: dict[str, Any]) -> SafeString:
    """A line per statistic on a scale of its own: the projection with its 95 % range, and the last five games."""
    parts, told = [], []
    for row, found in enumerate(payload["projections"]):
        y, mean, reach = ROW * row + 18, found["projection"], RANGE * found["standard_error"]
        scale = BAR / max(mean + reach, *found["last"], 1e-9) / 1.05
        low, high, middle = (LABEL + max(0.0, value) * scale for value in (mean - reach, mean + reach, mean))
        parts.append(_text(LABEL - 8, y + 5, _words(found["statistic"]), "sw-end"))
        parts += [_line(LABEL + game * scale, LABEL + game * scale, y - 8, y + 8, "sw-game") for game in found["last"]]
        parts.append(_line(low, high, y, y, "sw-range"))
        parts.append(f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="5" class="sw-along"/>')
        parts.append(_text(LABEL + BAR + 12, y + 5, f"{mean:.1f} ± {reach:.1f}"))
        told.append(f"{_words(found['statistic'])} {mean:.1f} ± {reach:.1f}")
    caption = "The mean to expect (dot) with its 95 % range, and the last games (strokes), each line on its own scale."
    size = LABEL + BAR + 120, ROW * len(told)
    return _figure(size, f"{payload['player']}, over {payload['games']:,} games. {'; '.join(told)}", parts, caption)


def _figure(size: tuple[float, float], told: str, parts: Sequence[str], caption: str) -> SafeString:
    drawing = mark_safe("".join(parts))  # noqa: S308 - numbers, and text that _text escaped
    return format_html(FIGURE, f"{size[0]:.0f}", f"{size[1]:.0f}", told, drawing, caption)


def _text(x: float, y: float, said: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(said)}</text>'


def _rect(x: float, y: float, width: float, height: float, kind: str, opacity: float = 1.0) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} rx="3" class="{kind}" fill-opacity="{opacity:.2f}"/>'


def _line(x1: float, x2: float, y1: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _list(named: Iterable[tuple[str, float | None]]) -> str:
    return ", ".join(f"{_words(name)} {_signed(value)}" for name, value in named)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _sign(value: float) -> str:
    return "sw-along" if value >= 0 else "sw-against"


def _signed(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.2f}"
