"""Drawings of entries: a correlation as a heat map, a factor model as bars, projections with their ranges. Pure.

A drawing is inline SVG without script, in the colors of the page, light or dark. The label
describes in words what the drawing shows.
"""

from collections.abc import Iterable, Sequence

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from caching.derivations.games import readable
from caching.derivations.payloads import CorrelationPayload, FactorPayload, Pair, Payload, PlayerPayload, PositionGroup

LABEL, CELL, ROW, BAR = 120.0, 92.0, 34.0, 260.0  # in units of the drawing, which is scaled to the space it gets
RANGE = 1.96  # standard errors to each side: 95 % of a normal distribution
FIGURE = (
    '<figure class="sw-picture"><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    "<figcaption>{}</figcaption></figure>"
)


def picture(payload: Payload) -> SafeString:
    """Return the drawing of a payload. Raise IndexError for a correlation without a group."""
    if isinstance(payload, CorrelationPayload):
        return heat_map(payload)
    if isinstance(payload, FactorPayload):
        return bars(payload)
    return ranges(payload)


def heat_map(payload: CorrelationPayload) -> SafeString:
    """Draw the groups downward and the statistics across.

    A positive correlation is blue, a negative one orange; a stronger one has a deeper color.
    """
    others = [pair.other for pair in payload.groups[0].pairs]
    parts = [_text(LABEL + CELL * (i + 0.5), 20, readable(name), "sw-mid") for i, name in enumerate(others)]
    for row, group in enumerate(payload.groups, 1):
        parts.append(_text(LABEL - 8, ROW * (row + 0.65), f"{group.group} ({group.n:,})", "sw-end"))
        parts += [_cell(LABEL + CELL * i, ROW * row, pair) for i, pair in enumerate(group.pairs)]
    description = "; ".join(map(_describe_group, payload.groups))
    caption = "Pearson's r within each position group (games); pooled mixes the positions' roles."
    size = LABEL + CELL * len(others), ROW * (len(payload.groups) + 1)
    return _figure(size, f"Correlations of {readable(payload.statistic)}. {description}", parts, caption)


def _describe_group(group: PositionGroup) -> str:
    return f"{group.group}: {_list((pair.other, pair.r) for pair in group.pairs)}"


def _cell(x: float, y: float, pair: Pair) -> str:
    r = pair.r
    value = _text(x + CELL / 2, y + ROW * 0.65, "–" if r is None else _signed(r), "sw-mid")
    if r is None:
        return value
    interval = f"95 % {_signed(pair.low)} to {_signed(pair.high)}, n {pair.n:,}"
    box = _rect(x + 1, y + 1, CELL - 2, ROW - 2, _color_class(r), min(1.0, abs(r)) * 0.85)
    return f"<g><title>{escape(readable(pair.other))}: {_signed(r)}, {interval}</title>{box}{value}</g>"


def bars(payload: FactorPayload) -> SafeString:
    """Draw a block per factor, with a bar per statistic from -1 on the left to 1 on the right."""
    parts, descriptions, y, middle = [], [], 0.0, LABEL + BAR / 2
    for number, (row, share) in enumerate(zip(payload.loadings, payload.explained_variance, strict=True), 1):
        loadings = list(zip(payload.statistics, row, strict=True))
        descriptions.append(f"factor {number}, {share:.0%}: {_list(loadings)}")
        parts.append(_text(0, y + 22, f"Factor {number}: {share:.0%} of the variance", "sw-strong"))
        for name, loading in loadings:
            y += 22
            left, length = min(middle, middle + loading * BAR / 2), abs(loading) * BAR / 2
            parts.append(_text(LABEL - 8, y + 20, readable(name), "sw-end"))
            parts.append(_rect(left, y + 8, max(1.0, length), 16, _color_class(loading)))
            parts.append(_text(LABEL + BAR + 12, y + 20, _signed(loading)))
        y += 40
    parts.append(_stroke(middle, middle, 26, y, "sw-axis"))
    caption = f"Loadings of three principal components over {payload.n:,} games; bars run from -1 to +1."
    return _figure((LABEL + BAR + 60, y), f"Factor model. {'; '.join(descriptions)}", parts, caption)


def ranges(payload: PlayerPayload) -> SafeString:
    """Draw a row per statistic, each on its own scale: the projection with its 95 % range, and the last games."""
    parts, descriptions = [], []
    for row, projection in enumerate(payload.projections):
        y, mean, reach = ROW * row + 18, projection.projection, RANGE * projection.standard_error
        scale = BAR / max(mean + reach, *projection.last, 1e-9) / 1.05
        low, high, middle = (LABEL + max(0.0, value) * scale for value in (mean - reach, mean + reach, mean))
        parts.append(_text(LABEL - 8, y + 5, readable(projection.statistic), "sw-end"))
        games = [LABEL + count * scale for count in projection.last]
        parts += [_stroke(x, x, y - 8, y + 8, "sw-game") for x in games]
        parts.append(_stroke(low, high, y, y, "sw-range"))
        parts.append(f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="5" class="sw-along"/>')
        parts.append(_text(LABEL + BAR + 12, y + 5, f"{mean:.1f} ± {reach:.1f}"))
        descriptions.append(f"{readable(projection.statistic)} {mean:.1f} ± {reach:.1f}")
    caption = "The expected mean (dot) with its 95 % range, and the last games (strokes), each row on its own scale."
    size = LABEL + BAR + 120, ROW * len(descriptions)
    label = f"{payload.player}, over {payload.games:,} games. {'; '.join(descriptions)}"
    return _figure(size, label, parts, caption)


def _figure(size: tuple[float, float], label: str, parts: Sequence[str], caption: str) -> SafeString:
    drawing = mark_safe("".join(parts))  # noqa: S308 - numbers, and text that _text escaped
    return format_html(FIGURE, f"{size[0]:.0f}", f"{size[1]:.0f}", label, drawing, caption)


def _text(x: float, y: float, text: str, css_class: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css_class}">{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, css_class: str, opacity: float = 1.0) -> str:
    box = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {box} rx="3" class="{css_class}" fill-opacity="{opacity:.2f}"/>'


def _stroke(x1: float, x2: float, y1: float, y2: float, css_class: str) -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" class="{css_class}"/>'


def _list(named_values: Iterable[tuple[str, float | None]]) -> str:
    return ", ".join(f"{readable(name)} {_signed(value)}" for name, value in named_values)


def _color_class(value: float) -> str:
    return "sw-along" if value >= 0 else "sw-against"


def _signed(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.2f}"
