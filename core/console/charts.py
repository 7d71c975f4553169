"""Small inline SVG charts, drawn on the server: no script, readable in light and dark. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT, MARGIN = 1000, 100, 4  # of the drawing, which is stretched to its place; lines keep their width
Point = tuple[float, float | None]  # where in time, 0 to 1; the value, None: not measured
HTML = (
    '<figure class="sw-chart" role="img" aria-label="{summary}">'
    "<figcaption><b>{title}</b><span>{range}</span></figcaption>"
    '<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{lines}{dots}</svg>'
    '<div class="sw-chart-ends"><span>{start}</span><span>{end}</span></div></figure>'
)


@dataclass(frozen=True, slots=True)
class Chart:
    """title says what it shows; unit follows each number; steps: the value holds until the next point."""

    title: str
    points: Sequence[Point]
    start: str  # what the left end is, in words
    end: str
    unit: str = ""
    lowest: float | None = None  # of the scale; None: the smallest value
    highest: float | None = None
    steps: bool = False

    def html(self) -> SafeString:
        values = [value for _, value in self.points if value is not None and math.isfinite(value)]
        if not values:
            return format_html('<p class="sw-chart-empty"><b>{}</b>: nothing measured yet</p>', self.title)
        now, least, most = map(self._said, (values[-1], min(values), max(values)))
        low = min(values) if self.lowest is None else self.lowest
        high = max(values) if self.highest is None else self.highest
        lines, dots = self._marks(low, high)
        return format_html(
            HTML,
            summary=f"{self.title}: now {now}, from {least} to {most}",
            title=self.title,
            range=f"now {now} · {least} to {most}",
            width=WIDTH,
            height=HEIGHT,
            lines=lines,
            dots=dots,
            start=self.start,
            end=self.end,
        )

    def _said(self, value: float) -> str:
        return f"{value:,.0f}{self.unit}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}{self.unit}"

    def _marks(self, low: float, high: float) -> tuple[SafeString, SafeString]:
        """Lines through neighbouring points, broken where nothing was measured; a dot where one stands alone."""
        runs: list[list[tuple[float, float]]] = [[]]
        for at, value in self.points:
            if value is None or not math.isfinite(value):
                runs.append([])
            else:
                x, y = MARGIN + at * (WIDTH - 2 * MARGIN), self._height(value, low, high)
                if self.steps and runs[-1]:
                    runs[-1].append((x, runs[-1][-1][1]))
                runs[-1].append((x, y))
        paths = [" ".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in runs if len(run) > 1]
        alone = [f"{run[0][0]:.1f},{run[0][1]:.1f}" for run in runs if len(run) == 1]
        return (
            format_html_join("", '<polyline points="{}"/>', ((path,) for path in paths)),
            format_html_join("", '<path d="M{}h0"/>', ((place,) for place in alone)),
        )

    def _height(self, value: float, low: float, high: float) -> float:
        share = 0.5 if high == low else (min(max(value, low), high) - low) / (high - low)
        return HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)
