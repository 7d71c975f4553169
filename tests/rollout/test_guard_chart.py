"""The chart of a guard: both arms, the limit, what is ruled out, gaps, the verdict changes, and all of it in words."""

import math
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from rollout.admin.guard_chart import ChartPoint, GuardChart
from rollout.choices import Verdict

START = datetime(2026, 1, 5, tzinfo=UTC)


def point(seconds: float, value: float | None = 0.9, **others: Any) -> ChartPoint:
    fields = {"limit": 0.7, "control": None, "bound": None, "verdict": Verdict.PASS} | others
    return ChartPoint(START + timedelta(seconds=seconds), value, **fields)


def draw(*points: ChartPoint, **others: Any) -> str:
    fields: dict[str, Any] = {
        "id": "hit_rate",
        "title": "Hit rate",
        "begins_at": START,
        "ends_at": START + timedelta(seconds=100),
        "gap_seconds": 15,
        "begins_at_zero": False,
        "is_share": True,
        "limit_text": "≥ 70 %",
        "bound_text": "",
        "describe": lambda value: f"{100 * value:.3g} %",
    }
    return GuardChart(points=points, **fields | others).html()


def lines(html: str, css: str) -> list[list[tuple[float, float]]]:
    """Return the places of each line or area of this class."""
    drawn = re.findall(rf'class="{css}" points="([^"]*)"', html.partition("</figcaption>")[2])
    return [[(float(x), float(y)) for x, y in (place.split(",") for place in each.split())] for each in drawn]


def test_the_time_is_the_horizontal_axis() -> None:
    [line] = lines(draw(point(0), point(10), point(20), point(100), gap_seconds=200), "sw-candidate")
    assert [x for x, _ in line] == [4, 103.2, 202.4, 996]


def test_both_arms_share_the_scale_with_the_limit() -> None:
    html = draw(point(0, 0.95, control=0.9), point(10, 0.95, control=0.9))
    [[(_, candidate), _]], [[(_, control), _]] = lines(html, "sw-candidate"), lines(html, "sw-control")
    [[(_, limit), *_]] = lines(html, "sw-limit")
    assert candidate < control < limit, "a larger value is higher in the drawing"
    assert "candidate 95 %" in html
    assert "control 90 %" in html
    assert "limit ≥ 70 %" in html


def test_the_scale_of_a_maximum_begins_at_zero() -> None:
    html = draw(point(0, 0.004, limit=0.01), point(10, 0.004, limit=0.01), begins_at_zero=True)
    assert "<span>1.1 %</span><span>0 %</span>" in html


def test_a_line_has_gaps_where_nothing_was_measured() -> None:
    unmeasured = point(20, None, verdict=Verdict.ERROR)
    html = draw(point(0), point(10), unmeasured, point(30), point(40), point(90), point(100))
    assert [[round(x) for x, _ in line] for line in lines(html, "sw-candidate")] == [[4, 103], [302, 401], [897, 996]]
    assert len(lines(html, "sw-limit")) == 1, "the limit holds while nothing is measured"


def test_a_single_measurement_between_gaps_is_a_dot() -> None:
    html = draw(point(0), point(10), point(60))
    assert len(lines(html, "sw-candidate")) == 1
    assert '<path class="sw-candidate" d="M599.2,' in html


def test_the_band_reaches_from_the_value_to_what_is_ruled_out() -> None:
    html = draw(point(0, bound=0.8), point(10, bound=0.85), point(20), point(30, None, bound=0.8))
    [band] = lines(html, "sw-band")
    assert [x for x, _ in band] == [4, 103.2, 103.2, 4]
    assert band[0][1] > band[1][1] > band[2][1] == band[3][1]
    assert "not ruled out</span>" in html, "no bound is known now"
    assert "surely at least 85 %" in draw(point(0, bound=0.8), bound_text="at least 85 %")


def test_a_bound_beyond_the_scale_ends_at_the_frame() -> None:
    html = draw(point(0, 0.0, limit=0.01, bound=1.0), point(10, 0.0, limit=0.01, bound=1.0), begins_at_zero=True)
    [band] = lines(html, "sw-band")
    assert [y for _, y in band] == [4, 4, 96, 96]


def test_a_change_of_the_limit_is_a_step() -> None:
    [limit] = lines(draw(point(10), point(50, limit=0.8), point(60, limit=0.8)), "sw-limit")
    below, above = limit[0][1], limit[-1][1]
    assert limit[0] == (4, below)
    assert limit[-1] == (996, above), "it is drawn over the whole visit"
    assert above < below
    assert [x for (x, y), (_, following) in pairwise(limit) if y != following] == [500]


def test_without_a_limit_no_line_and_no_legend_is_drawn() -> None:
    html = draw(point(0, limit=None), point(10, limit=None), limit_text="as control")
    assert "sw-limit" not in html
    assert "Limit as control." in html


def test_verdict_changes_are_marks_on_the_time_axis() -> None:
    first: dict[str, Any] = {"verdict": Verdict.INCONCLUSIVE}
    html = draw(point(0, **first), point(10, **first), point(20), point(50, verdict=Verdict.VIOLATION))
    marks = re.findall(r'<text class="([\w-]+)" x="([\d.]+)%" y="75%">(.)<title>(.*?)</title>', html)
    assert marks == [
        ("sw-red", "50.00", "✕", "Violation 50 s ago"),
        ("sw-green", "20.00", "✓", "Pass 1 min ago"),
        ("sw-gray", "1.20", "…", "Inconclusive 1 min ago"),
    ]


def test_marks_do_not_overlap() -> None:
    verdicts = [Verdict.PASS, Verdict.ERROR] * 50
    html = draw(*(point(second, verdict=verdict) for second, verdict in enumerate(verdicts)))
    places = [float(x) for x in re.findall(r'x="([\d.]+)%"', html)]
    assert places[0] == 98.8, "the newest change has a mark"
    assert all(after - before >= 2 for after, before in pairwise(places))


def test_the_chart_is_described_in_words() -> None:
    html = draw(
        point(0, 0.8, control=0.9, verdict=Verdict.INCONCLUSIVE),
        point(90, 0.95, control=0.91, bound=0.82),
        bound_text="at least 82 %",
    )
    assert 'role="img" aria-labelledby="hit_rate-title hit_rate-desc"' in html
    assert '<title id="hit_rate-title">Hit rate</title>' in html
    assert (
        '<desc id="hit_rate-desc">Candidate: now 95 %, from 80 % to 95 %. Control: now 91 %, from 90 % to 91 %. '
        "Limit ≥ 70 %. The candidate is surely at least 82 %. Verdicts: Inconclusive 1 min ago, Pass 10 s ago.</desc>"
    ) in html


def test_without_a_measurement_it_is_one_line_of_text() -> None:
    expected = '<p class="sw-chart-empty"><b>Hit rate</b>: nothing measured yet</p>'
    assert draw() == draw(point(0, None, verdict=Verdict.INCONCLUSIVE)) == expected


def test_the_strict_security_policy_allows_all_of_it() -> None:
    html = draw(point(0, control=0.8, bound=0.8), point(10))
    assert "style" not in html
    assert "<script" not in draw(point(0), title="<script>", id='"><script>')


floats = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)
points = st.builds(
    point,
    st.floats(0, 100),
    floats,
    limit=st.none() | st.floats(0, 1),
    control=floats,
    bound=floats,
    verdict=st.sampled_from(Verdict),
)


@given(
    st.lists(points, max_size=20).map(lambda drawn: sorted(drawn, key=lambda each: each.at)),
    st.booleans(),
    st.booleans(),
)
def test_no_measurement_breaks_the_drawing(drawn: list[ChartPoint], begins_at_zero: bool, is_share: bool) -> None:
    html = draw(*drawn, begins_at_zero=begins_at_zero, is_share=is_share, describe=str)
    ElementTree.fromstring(html)  # noqa: S314 - the text is this test's own
    for css in ("sw-candidate", "sw-control", "sw-limit", "sw-band"):
        for line in lines(html, css):
            assert all(math.isfinite(x) and 0 <= x <= 1000 and 0 <= y <= 100 for x, y in line)
