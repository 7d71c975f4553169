"""Small inline SVG charts that the server draws. They need no script and are readable in light and dark mode."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

# The drawing's units. The page stretches the drawing to its place; the lines keep their width.
WIDTH, HEIGHT, MARGIN = 1000, 100, 4
Point = tuple[float, float | None]  # the time, 0 (left end) to 1 (right end); the value, None if not measured
Place = tuple[float, float]  # x and y, in the drawing's units
HTML = (
    '<figure class="sw-chart" role="img" aria-label="{summary}">'
    "<figcaption><b>{title}</b><span>{range}</span></figcaption>"
    '<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{lines}</svg>'
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
        lines = draw_runs(split_runs(self.points, Scale(low, high), is_stepped=self.is_stepped))
        return format_html(
            HTML,
            summary=f"{self.title}: now {newest}, from {smallest} to {largest}",
            title=self.title,
            range=f"now {newest} · {smallest} to {largest}",
            width=WIDTH,
            height=HEIGHT,
            lines=lines,
            start=self.start,
            end=self.end,
        )

    def _with_unit(self, value: float) -> str:
        return f"{value:,.0f}{self.unit}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Scale:
    """The value axis of a drawing, from `low` at the bottom to `high` at the top. It cuts off what is beyond."""

    low: float
    high: float

    def place(self, time: float, value: float) -> Place:
        """Return the place of a value. time: 0 (left end) to 1 (right end)."""
        share = 0.5
        if self.high != self.low:
            share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return MARGIN + time * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)


def split_runs(points: Iterable[Point], scale: Scale, *, is_stepped: bool = False) -> list[list[Place]]:
    """Return the runs of neighboring points that have a value. A point without one ends a run."""
    split: list[list[Place]] = [[]]
    for time, value in points:
        if value is None or not math.isfinite(value):
            split.append([])
            continue
        x, y = scale.place(time, value)
        if is_stepped and split[-1]:
            split[-1].append((x, split[-1][-1][1]))
        split[-1].append((x, y))
    return [run for run in split if run]


def draw_runs(runs: Iterable[Sequence[Place]], css: str = "") -> SafeString:
    """Return a line through each run, and a dot for a run of a single point.

    css: the class of the lines and dots in the style sheet.
    """
    return format_html_join("", "{}", ((_draw_run(run, css),) for run in runs))


def _draw_run(run: Sequence[Place], css: str) -> SafeString:
    html = '<polyline class="{}" points="{}"/>' if len(run) > 1 else '<path class="{}" d="M{}h0"/>'
    return format_html(html, css, coordinates(run))


def coordinates(run: Iterable[Place]) -> str:
    """Return the places as the points of a polyline or polygon."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
