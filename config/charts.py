"""Small inline SVG charts, drawn on the server: no script, readable in light and dark. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 640, 130, 26, 20, 8, 8
Point = tuple[float, float | None]  # where in time, 0 to 1; the value, None: not measured


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

    def svg(self) -> SafeString:
        values = [value for _, value in self.points if value is not None]
        if not values:
            return format_html('<p class="sw-chart-empty"><b>{}</b> nothing measured yet</p>', self.title)
        low = min(values) if self.lowest is None else self.lowest
        high = max(values) if self.highest is None else self.highest
        now, least, most = map(self._said, (values[-1], min(values), max(values)))
        summary = f"{self.title}: now {now}, from {least} to {most}"
        return format_html(
            '<svg class="sw-chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>'
            '<text x="{}" y="16" class="sw-chart-title">{}</text><text x="{}" y="16" text-anchor="end">{}</text>'
            '<line x1="{}" x2="{}" y1="{}" y2="{}" class="sw-chart-base"/>{}{}'
            '<text x="{}" y="{}">{}</text><text x="{}" y="{}" text-anchor="end">{}</text></svg>',
            *(WIDTH, HEIGHT, summary, summary),
            *(LEFT, self.title, WIDTH - RIGHT, f"{now} · {self._said(low)} to {self._said(high)}"),
            *(LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM),
            *self._marks(low, high),
            *(LEFT, HEIGHT - 5, self.start, WIDTH - RIGHT, HEIGHT - 5, self.end),
        )

    def _said(self, value: float) -> str:
        return f"{value:,.0f}{self.unit}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}{self.unit}"

    def _marks(self, low: float, high: float) -> tuple[SafeString, SafeString]:
        """Lines through neighbouring points, broken where nothing was measured; a dot where one stands alone."""
        runs: list[list[tuple[float, float]]] = [[]]
        for at, value in self.points:
            if value is None:
                runs.append([])
            else:
                x, y = LEFT + at * (WIDTH - LEFT - RIGHT), self._height(value, low, high)
                if self.steps and runs[-1]:
                    runs[-1].append((x, runs[-1][-1][1]))
                runs[-1].append((x, y))
        paths = [" ".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in runs if len(run) > 1]
        alone = [run[0] for run in runs if len(run) == 1]
        return (
            format_html_join("", '<polyline points="{}"/>', ((path,) for path in paths)),
            format_html_join("", '<circle cx="{}" cy="{}" r="2.5"/>', ((f"{x:.1f}", f"{y:.1f}") for x, y in alone)),
        )

    def _height(self, value: float, low: float, high: float) -> float:
        share = 0.5 if high == low else (min(max(value, low), high) - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
