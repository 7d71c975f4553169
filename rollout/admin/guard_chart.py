"""The chart of one guard over a stage visit: both arms, the limit, what is ruled out, and the verdicts. Pure.

Each thing has a color and a shape of its own, because not every reader can distinguish colors. The candidate is a
solid line with round dots, control is a dotted line with square dots. The limit is dashed, and what is not ruled out is
a band.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from core.console.charts import HEIGHT, WIDTH, Place, Point, Scale, coordinates, draw_runs, split_runs
from core.text import elapsed
from rollout.choices import Verdict

HEADROOM = 0.1  # of the value axis, above the largest and below the smallest value
MARK_DISTANCE = 0.03  # of the time axis; of marks that are closer, the newer one is shown
LARGEST = 1e300  # the difference of two such values is finite
MARKS_DESCRIBED = 5  # verdict changes in the text alternative, the newest
HTML = (
    '<figure class="sw-chart sw-guard-chart"><figcaption><b>{title}</b>{keys}</figcaption>'
    '<div class="sw-plot"><div class="sw-scale" aria-hidden="true"><span>{high}</span><span>{low}</span></div>'
    '<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-labelledby="{id}-title {id}-desc">'
    '<title id="{id}-title">{title}</title><desc id="{id}-desc">{description}</desc>{drawing}</svg>'
    '<svg class="sw-marks" aria-hidden="true">{marks}</svg>'
    '<div class="sw-chart-ends"><span>{start}</span><span>now</span></div></div></figure>'
)
KEY = '<span class="sw-key"><svg aria-hidden="true" viewBox="0 0 28 10">{}</svg>{}</span>'
LINE_KEY = '<polyline class="{}" points="2,5 26,5"/>'
BAND_KEY = '<rect class="{}" x="2" y="1" width="24" height="8"/>'
MARK = '<text class="sw-{color}" x="{x}%" y="75%">{symbol}<title>{text}</title></text>'


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """The judgment of a guard at one moment, in the unit of its value. None: not measured, or no limit."""

    at: datetime
    value: float | None
    limit: float | None
    control: float | None
    bound: float | None
    verdict: Verdict

    @property
    def has_band(self) -> bool:
        """Whether something was ruled out of what was measured."""
        return len(_measured([self.value, self.bound])) == 2


@dataclass(frozen=True, slots=True)
class GuardChart:
    """A guard's chart.

    id: unique in the page.
    points: in the order of time, from `begins_at` to `ends_at`, which is now.
    gap_seconds: if two points are further apart, nothing was measured between them.
    begins_at_zero: whether the value axis begins at 0.
    is_share: whether every value is from 0 to 1.
    limit_text, bound_text: the present limit, and the worst value that is not ruled out, or an empty text.
    describe: returns a value with its unit.
    value_name: what the values are of, if not of the candidate.
    """

    id: str
    title: str
    points: Sequence[ChartPoint]
    begins_at: datetime
    ends_at: datetime
    gap_seconds: float
    begins_at_zero: bool
    is_share: bool
    limit_text: str
    bound_text: str
    describe: Callable[[float], str]
    value_name: str = "candidate"

    def html(self) -> SafeString:
        """Return the chart as a figure, or one line of text if no point has a value."""
        if not _measured(point.value for point in self.points):
            return format_html('<p class="sw-chart-empty"><b>{}</b>: nothing measured yet</p>', self.title)
        scale = self._scale()
        return format_html(
            HTML,
            id=self.id,
            title=self.title,
            keys=self._keys(),
            high=self.describe(scale.high),
            low=self.describe(scale.low),
            width=WIDTH,
            height=HEIGHT,
            description=self._description(),
            drawing=self._drawing(scale),
            marks=format_html_join("", "{}", ((mark,) for mark in self._marks())),
            start=elapsed(self._seconds_ago(self.begins_at)),
        )

    def _scale(self) -> Scale:
        """Return a value axis that has room for both arms and the limit. What is ruled out may be beyond it."""
        values = _measured(number for point in self.points for number in (point.value, point.control, point.limit))
        low, high = min(values), max(values)
        if self.begins_at_zero:
            low = min(0.0, low)
        room = (high - low) * HEADROOM or 1.0
        if not self.begins_at_zero:
            low -= room
        high += room
        return Scale(max(0.0, low), min(1.0, high)) if self.is_share else Scale(low, high)

    def _drawing(self, scale: Scale) -> SafeString:
        """Return the band, the limit, and the lines of both arms, the candidate's on top."""
        limits: list[Point] = [(self._time(point.at), point.limit) for point in self.points]
        limits = [(0.0, limits[0][1]), *limits, (1.0, limits[-1][1])]
        limit = split_runs(limits, scale, is_stepped=True)
        control = split_runs(self._with_gaps(lambda point: point.control), scale)
        candidate = split_runs(self._with_gaps(lambda point: point.value), scale)
        bands = format_html_join(
            "", '<polygon class="sw-band" points="{}"/>', ((coordinates(band),) for band in self._bands(scale))
        )
        return format_html(
            "{}{}{}{}{}",
            bands,
            draw_runs(limit, "sw-limit"),
            draw_runs(control, "sw-control"),
            draw_runs(candidate, "sw-candidate"),
            draw_runs([run[-1:] for run in candidate[-1:]], "sw-candidate"),
        )

    def _bands(self, scale: Scale) -> Iterator[list[Place]]:
        """Yield the areas between the candidate's value and what is ruled out."""
        edges = self._with_gaps(lambda point: point.bound if point.has_band else None)
        values = self._with_gaps(lambda point: point.value if point.has_band else None)
        for edge, value in zip(split_runs(edges, scale), split_runs(values, scale), strict=True):
            yield [*edge, *reversed(value)]

    def _with_gaps(self, pick: Callable[[ChartPoint], float | None]) -> list[Point]:
        """Return the points of one line, with a point without a value wherever nothing was measured for too long."""
        line: list[Point] = []
        last_at = self.begins_at
        for point in self.points:
            if (point.at - last_at).total_seconds() > self.gap_seconds:
                line.append((self._time(last_at), None))
            line.append((self._time(point.at), pick(point)))
            last_at = point.at
        return line

    def _time(self, at: datetime) -> float:
        """Return the place of a moment on the time axis, 0 to 1."""
        length = (self.ends_at - self.begins_at).total_seconds()
        passed = (at - self.begins_at).total_seconds()
        return min(max(passed / length, 0.0), 1.0) if length > 0 else 1.0

    def _seconds_ago(self, at: datetime) -> float:
        return max(0.0, (self.ends_at - at).total_seconds())

    def _verdict_changes(self) -> list[ChartPoint]:
        """Return the points at which the verdict is another than before, and the first point."""
        changes = [after for before, after in pairwise(self.points) if before.verdict is not after.verdict]
        return [*self.points[:1], *changes]

    def _marks(self) -> Iterator[SafeString]:
        last_time = 1 + MARK_DISTANCE
        for point in reversed(self._verdict_changes()):
            time, verdict = self._time(point.at), point.verdict
            if last_time - time >= MARK_DISTANCE:
                text, x = self._describe_verdict(point), f"{100 * min(max(time, 0.012), 0.988):.2f}"
                yield format_html(MARK, color=verdict.color, x=x, symbol=verdict.symbol, text=text)
                last_time = time

    def _describe_verdict(self, point: ChartPoint) -> str:
        return f"{point.verdict.label} {elapsed(self._seconds_ago(point.at))}"

    def _keys(self) -> SafeString:
        """Return the legend with the newest values. What was never measured is absent."""
        newest = self.points[-1]
        texts = [(format_html(LINE_KEY, "sw-candidate"), f"{self.value_name} {self._describe_newest(newest.value)}")]
        if _measured(point.control for point in self.points):
            texts.append((format_html(LINE_KEY, "sw-control"), f"control {self._describe_newest(newest.control)}"))
        if _measured(point.limit for point in self.points):
            texts.append((format_html(LINE_KEY, "sw-limit"), f"limit {self.limit_text}"))
        if any(point.has_band for point in self.points):
            text = f"surely {self.bound_text}" if self.bound_text else "not ruled out"
            texts.append((format_html(BAND_KEY, "sw-band"), text))
        return format_html_join("", KEY, texts)

    def _describe_newest(self, value: float | None) -> str:
        return self.describe(value) if value is not None and _measured([value]) else "not measured"

    def _description(self) -> str:
        """Return the chart in words."""
        parts = [self._describe_line(capfirst(self.value_name), [point.value for point in self.points])]
        if _measured(point.control for point in self.points):
            parts.append(self._describe_line("Control", [point.control for point in self.points]))
        parts.append(f"Limit {self.limit_text}.")
        if self.bound_text:
            parts.append(f"The candidate is surely {self.bound_text}.")
        changes = self._verdict_changes()[-MARKS_DESCRIBED:]
        parts.append(f"Verdicts: {', '.join(map(self._describe_verdict, changes))}.")
        return " ".join(parts)

    def _describe_line(self, name: str, values: Sequence[float | None]) -> str:
        measured = _measured(values)
        newest, smallest, largest = self._describe_newest(values[-1]), min(measured), max(measured)
        return f"{name}: now {newest}, from {self.describe(smallest)} to {self.describe(largest)}."


def _measured(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and abs(value) <= LARGEST]
