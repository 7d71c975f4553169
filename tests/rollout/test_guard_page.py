"""The guards on a rollout's page and in its status: the table, the charts over the stage visit, and what holds it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core.access.actors import SYSTEM
from rollout.admin.guards import POINTS_AT_MOST, GuardRow, charts_if_readable, guard_rows, read_points
from rollout.choices import Consequence, Guard, Verdict
from rollout.control.loop import tick
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import Arm
from rollout.gate import gate, runtime
from rollout.models import GuardReading, Rollout
from rollout.operations import lifecycle
from rollout.status import read_status
from tests.conftest import look

pytestmark = pytest.mark.django_db
NAME = "derived-data"
HIT_RATE = Judgment(Guard.HIT_RATE, 0.9, 0.7, 60, Verdict.PASS)
Browse = Callable[[str], Client]


@pytest.fixture
def rollout() -> Rollout:
    """A rollout that is in its stage for ten minutes."""
    lifecycle.start(Rollout.objects.get(name=NAME), actor=SYSTEM, reason="")
    Rollout.objects.update(stage_entered_at=Now() - timedelta(minutes=10), percent_entered_at=Now())
    return Rollout.objects.get(name=NAME)


def add_reading(rollout: Rollout, seconds: float, value: float | None = 0.9, **others: Any) -> GuardReading:
    """Store a reading of the hit rate, so many seconds after the stage was entered."""
    fields = {"guard": Guard.HIT_RATE, "name": "hit_rate", "limit": 0.7, "samples": 0, "verdict": Verdict.PASS}
    at = rollout.stage_entered_at + timedelta(seconds=seconds)
    return GuardReading.objects.create(
        rollout=rollout, stage=rollout.stage, value=value, at=at, **{"epoch": rollout.epoch} | fields | others
    )


def values(rollout: Rollout, *judgments: Judgment) -> dict[str, list[float | None]]:
    """Return the values of the charts' points over the ten minutes."""
    judged = judgments or (HIT_RATE,)
    points = read_points(rollout, judged, rollout.stage_entered_at, rollout.stage_entered_at + timedelta(minutes=10))
    return {name: [point.value for point in drawn] for name, drawn in points.items()}


def traffic(requests: int, hits: int | None = None) -> None:
    shared = runtime.shared()
    look(shared.states)
    for number in range(requests):
        gate(NAME).observe(Arm.CANDIDATE, 10.0, is_hit=number < (requests if hits is None else hits))
    shared.flush()


def page(browser: Client, rollout: Rollout, part: str = "live") -> str:
    response = browser.get(f"/admin/rollout/rollout/{rollout.pk}/{part}/")
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_a_chart_has_the_last_reading_of_each_part_of_the_time(rollout: Rollout) -> None:
    for second in range(600):
        add_reading(rollout, second, second)
    drawn = values(rollout)["hit_rate"]
    assert len(drawn) == POINTS_AT_MOST
    assert drawn[:3] == [2, 5, 7]
    assert drawn[-1] == 599


def test_a_chart_has_all_readings_while_they_are_few(rollout: Rollout) -> None:
    for second in (0, 5, 300, 600):
        add_reading(rollout, second, second)
    assert values(rollout)["hit_rate"] == [0, 5, 300, 600]


def test_a_chart_has_the_readings_of_its_guard_in_its_visit(rollout: Rollout) -> None:
    add_reading(rollout, -1, 1)
    add_reading(rollout, 10, 2, epoch=rollout.stage_epoch - 1)  # by a worker that was late
    add_reading(rollout, 20, 3, guard=Guard.P95_MS, name="p95_ms", limit=1000)
    add_reading(rollout, 20, 4, name="another")
    add_reading(rollout, 30, 5)
    p95 = Judgment(Guard.P95_MS, 10, 1000, 60, Verdict.PASS)
    assert values(rollout, HIT_RATE, p95) == {"hit_rate": [5], "p95_ms": [3]}


def test_the_charts_are_read_in_one_query(rollout: Rollout) -> None:
    tick()
    status = read_status(rollout)
    with CaptureQueriesContext(connection) as queries:
        assert len(charts_if_readable(status, None)) == len(status.judgments) > 1
    assert sum("rollout_guardreading" in query["sql"] for query in queries) == 1


def test_a_visit_longer_than_readings_are_kept_begins_with_the_first_kept_one(rollout: Rollout, browse: Browse) -> None:
    Rollout.objects.update(stage_entered_at=Now() - timedelta(days=30))
    traffic(60)
    tick()
    assert "<span>7 d ago</span><span>now</span>" in page(browse("Viewer"), rollout)


def test_the_page_shows_a_reading_of_this_moment(rollout: Rollout, browse: Browse) -> None:
    Rollout.objects.update(stage_entered_at=Now())
    traffic(60)
    tick()
    assert "Candidate: now 100 %, from 100 % to 100 %." in page(browse("Viewer"), rollout)


def test_the_page_draws_both_arms_and_the_verdicts(rollout: Rollout, browse: Browse) -> None:
    small = {"verdict": Verdict.INCONCLUSIVE}
    add_reading(rollout, 0, 0.8, control=0.95, bound=0.5, **small)
    add_reading(rollout, 5, 0.85, control=0.95, bound=0.6, **small)
    add_reading(rollout, 300, 0.9, control=0.95, bound=0.75)
    traffic(60)
    shown = page(browse("Viewer"), rollout)
    assert "Candidate: now 90 %, from 80 % to 90 %. Control: now 95 %, from 95 % to 95 %. Limit ≥ 70 %." in shown
    assert "The candidate is surely at least 75 %. Verdicts: Inconclusive 10 min ago, Pass 5 min ago." in shown


def test_a_page_without_traffic_asks_for_it(rollout: Rollout, browse: Browse) -> None:
    shown = page(browse("Viewer"), rollout)
    assert "no look-up was observed in this stage yet: send traffic through gate(&quot;derived-data&quot;)." in shown


def test_a_disabled_rollout_is_held_by_nothing() -> None:
    status = read_status(Rollout.objects.get(name=NAME))
    assert (status.holds, status.as_json()["holds"]) == ("", "")


def test_the_status_extends_the_growth_of_the_sample(rollout: Rollout) -> None:
    traffic(20)
    add_reading(rollout, 540, samples=5)  # a minute ago
    Rollout.objects.update(percent_entered_at=Now() - timedelta(hours=1))
    holds = read_status(Rollout.objects.get(name=NAME)).as_json()["holds"]
    assert holds == "The hit rate needs 30 more look-ups, at this rate about 2 minutes"
    GuardReading.objects.update(samples=20)
    assert read_status(Rollout.objects.get(name=NAME)).holds == "The hit rate needs 30 more look-ups, and none arrives"


def test_a_sample_that_shrank_and_a_past_without_readings_make_no_forecast(rollout: Rollout) -> None:
    traffic(20)
    Rollout.objects.update(percent_entered_at=Now() - timedelta(hours=1))
    for second, samples in ((540, 21), (300, 8), (595, 8)):
        GuardReading.objects.all().delete()
        add_reading(rollout, second, samples=samples)
        assert read_status(Rollout.objects.get(name=NAME)).holds == "The hit rate needs 30 more look-ups"


def row(**fields: Any) -> GuardRow:
    judgment: dict[str, Any] = {
        "guard": Guard.ERROR_RATE,
        "value": 0.004,
        "limit": 0.01,
        "samples": 60,
        "verdict": Verdict.PASS,
    }
    [made] = guard_rows([Judgment(**judgment | fields)])
    return made


def test_a_row_of_the_table_has_both_arms_and_what_is_known() -> None:
    made = row(control=0.005, bound=0.008, needed=50, note="control is small", leads=Consequence.STEP_BACK)
    assert (made.name, made.candidate, made.control) == ("Errors against control", "0.4 %", "0.5 %")
    assert (made.limit, made.bound) == ("≤ 1 %", "at most 0.8 % with 99.9 % confidence")
    assert (made.samples, made.leads, made.note) == ("60", "one stage back", "control is small")
    assert "sw-green" in made.verdict


def test_a_row_has_the_sample_that_is_needed_while_it_is_small() -> None:
    assert row(samples=1200, needed=5000).samples == "1,200 of 5,000"


def test_a_hit_rate_has_a_lower_bound() -> None:
    hit_rate = row(guard=Guard.HIT_RATE, value=0.9, limit=0.7, bound=0.85)
    assert (hit_rate.limit, hit_rate.bound) == ("≥ 70 %", "at least 85 % with 99.9 % confidence")


def test_what_is_not_known_is_empty() -> None:
    made = row(value=None)
    assert (made.candidate, made.control, made.bound) == ("–", "", "")


def test_the_guard_of_a_metric_has_its_name() -> None:
    assert row(name="basket_value").name == "basket_value"
