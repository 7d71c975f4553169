"""Small inline SVG charts that the server draws. They need no script and are readable in light and dark mode."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

# The drawing's units. The page stretches the drawing to its place; the lines keep their width.
WIDTH, HEIGHT, MARGIN = 1000, 100, 4
Point = tuple[float, float | None]  # the time, 0 (left end) to 1 (right end); the value, None if not measured
HTML = (
    '<figure class="sw-chart" role="img" aria-label="{summary}">'
    "<figcaption><b>{title}</b><span>{range}</span></figcaption>"
    '<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{lines}{dots}</svg>'
    '<div class="sw-chart-ends"><span>{start}</span><span>{end}</span></div></figure>'
)


@dataclass(frozen=True, slots=True)
class Chart:
    """A line chart of one quantity over time.

    title: the name of the quantity.
    start, end: the texts at the left and the right end of the time axis.
    unit: the text after each number.
    lowest, highest: the ends of the value axis; by default the smallest and the largest value.
    is_stepped: each value holds until the next point.
    """

    title: str
    points: Sequence[Point]
    start: str
    end: str
    unit: str = ""
    lowest: float | None = None
    highest: float | None = None
    is_stepped: bool = False

    def html(self) -> SafeString:
        """Return the chart as a figure, or one line of text if no point has a value."""
        values = [value for _, value in self.points if value is not None and math.isfinite(value)]
        if not values:
            return format_html('<p class="sw-chart-empty"><b>{}</b>: nothing measured yet</p>', self.title)
        newest, smallest, largest = map(self._with_unit, (values[-1], min(values), max(values)))
        low = min(values) if self.lowest is None else self.lowest
        high = max(values) if self.highest is None else self.highest
        lines, dots = self._lines_and_dots(low, high)
        return format_html(
            HTML,
            summary=f"{self.title}: now {newest}, from {smallest} to {largest}",
            title=self.title,
            range=f"now {newest} · {smallest} to {largest}",
            width=WIDTH,
            height=HEIGHT,
            lines=lines,
            dots=dots,
            start=self.start,
            end=self.end,
        )

    def _with_unit(self, value: float) -> str:
        return f"{value:,.0f}{self.unit}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}{self.unit}"

    def _lines_and_dots(self, low: float, high: float) -> tuple[SafeString, SafeString]:
        """Return lines through neighboring points, broken where a value is missing, and dots for single points."""
        runs: list[list[tuple[float, float]]] = [[]]
        for time, value in self.points:
            if value is None or not math.isfinite(value):
                runs.append([])
            else:
                x, y = MARGIN + time * (WIDTH - 2 * MARGIN), self._y(value, low, high)
                if self.is_stepped and runs[-1]:
                    runs[-1].append((x, runs[-1][-1][1]))
                runs[-1].append((x, y))
        lines = [" ".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in runs if len(run) > 1]
        dots = [f"{run[0][0]:.1f},{run[0][1]:.1f}" for run in runs if len(run) == 1]
        return (
            format_html_join("", '<polyline points="{}"/>', ((line,) for line in lines)),
            format_html_join("", '<path d="M{}h0"/>', ((dot,) for dot in dots)),
        )

    def _y(self, value: float, low: float, high: float) -> float:
        share = 0.5 if high == low else (min(max(value, low), high) - low) / (high - low)
        return HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)
