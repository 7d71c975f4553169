"""The guards on a rollout's page and in its status: the table, the charts over the stage visit, and what holds it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core.access.actors import SYSTEM
from rollout.admin.guards import POINTS_AT_MOST, GuardRow, charts_if_readable, guard_rows, read_points
from rollout.choices import Comparison, Consequence, Direction, Guard, Verdict
from rollout.control.loop import tick
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import Arm
from rollout.gate import gate, runtime
from rollout.models import GuardPolicy, GuardReading, Rollout
from rollout.operations import lifecycle
from rollout.status import read_status
from tests import databases
from tests.conftest import look

pytestmark = pytest.mark.django_db
NAME = "derived-data"
HIT_RATE = Judgment(Guard.HIT_RATE, 0.9, 0.7, 60, Verdict.PASS)
Browse = Callable[[str], Client]
Stages = Callable[..., None]


@contextmanager
def locked_readings() -> Iterator[None]:
    """Another session that locks the table of the readings."""
    with psycopg.connect(databases.address(str(connection.settings_dict["NAME"]))) as other:
        other.execute("LOCK TABLE rollout_guardreading IN ACCESS EXCLUSIVE MODE")
        yield


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
        gate(NAME).observe(Arm.CONTROL, 10.0)
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
    arms = "Candidate: now 100 %, from 80 % to 100 %. Control: now not measured, from 95 % to 95 %."
    assert f"{arms} Limit ≥ 70 %. The candidate is surely at least 8" in shown, "the present values are the last point"
    assert "Verdicts: Inconclusive 10 min ago, Pass 5 min ago." in shown


def test_a_guard_against_control_has_its_limit_in_the_unit_of_the_value(browse: Browse, at_stage: Stages) -> None:
    at_stage("SHADOW_MODE")
    GuardPolicy.objects.filter(guard=Guard.ERROR_RATE).update(tolerance=2)
    GuardPolicy.objects.filter(guard=Guard.ERRORS).update(leads="warn")
    shared = runtime.shared()
    for arm, errors in ((Arm.CANDIDATE, 2), (Arm.CONTROL, 3)):
        for number in range(60):
            gate(NAME).observe(arm, 10.0, is_error=number < errors)
    shared.flush()
    tick()
    [reading] = GuardReading.objects.filter(name="error_rate")
    assert (reading.value, reading.control, reading.limit) == (2 / 60, 3 / 60, 0.1)
    shown = page(browse("Viewer"), Rollout.objects.get(name=NAME))
    assert '<td role="cell" data-label="Limit">≤ 2 × control</td>' in shown
    assert "Known with 99.9 % confidence" in shown
    assert (
        "Candidate: now 3.33 %, from 3.33 % to 3.33 %. Control: now 5 %, from 5 % to 5 %. Limit ≤ 2 × control." in shown
    )


def test_locked_readings_leave_the_table_and_the_sentence(rollout: Rollout) -> None:
    traffic(60)
    with locked_readings():
        status = read_status(rollout)
        assert charts_if_readable(status, None) == []
    assert guard_rows(status.judgments)
    assert status.holds == "It stays in Dark mode for 10 more minutes"


def test_a_page_without_traffic_asks_for_it(rollout: Rollout, browse: Browse) -> None:
    shown = page(browse("Viewer"), rollout)
    assert "no request was observed in this stage yet: send traffic through gate(&quot;derived-data&quot;)." in shown


def test_a_disabled_rollout_is_held_by_nothing() -> None:
    status = read_status(Rollout.objects.get(name=NAME))
    assert (status.holds, status.as_json()["holds"]) == ("", "")


def test_the_status_extends_the_growth_of_the_sample(rollout: Rollout) -> None:
    GuardPolicy.objects.exclude(guard=Guard.HIT_RATE).update(is_on=False)
    traffic(20)
    add_reading(rollout, 540, samples=5)  # a minute ago
    Rollout.objects.update(percent_entered_at=Now() - timedelta(hours=1))
    holds = read_status(Rollout.objects.get(name=NAME)).as_json()["holds"]
    assert holds == "The hit rate needs 30 more look-ups, at this rate about 2 minutes"
    GuardReading.objects.update(samples=20)
    assert (
        read_status(Rollout.objects.get(name=NAME)).holds
        == "The hit rate needs 30 more look-ups, and its sample does not grow"
    )


def test_a_sample_that_shrank_and_a_past_without_readings_make_no_forecast(rollout: Rollout) -> None:
    GuardPolicy.objects.exclude(guard=Guard.HIT_RATE).update(is_on=False)
    traffic(20)
    Rollout.objects.update(percent_entered_at=Now() - timedelta(hours=1))
    for second, samples in ((540, 21), (300, 8), (600, 8)):
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
    assert (made.name, made.candidate, made.control) == ("Error rate", "0.4 %", "0.5 %")
    assert (made.limit, made.bound) == ("≤ 1 %", "at most 0.8 %")
    assert (made.samples, made.leads, made.note) == ("60", "one stage back", "control is small")
    assert "sw-green" in made.verdict


def test_a_row_has_the_sample_that_is_needed_while_it_is_small() -> None:
    assert row(samples=1200, needed=5000).samples == "1,200 of 5,000"


def test_a_hit_rate_has_a_lower_bound() -> None:
    hit_rate = row(guard=Guard.HIT_RATE, value=0.9, limit=0.7, bound=0.85)
    assert (hit_rate.limit, hit_rate.bound) == ("≥ 70 %", "at least 85 %")


def test_a_share_that_should_be_high_has_its_limit_and_bound_as_shares() -> None:
    compared = {"metric": "has_price", "comparison": Comparison.CONTROL, "worse": Direction.LOWER, "control": 0.9}
    has_price = row(guard=Guard.OWN_SHARE, value=0.88, limit=1.5, bound=2.0, **compared)
    assert (has_price.name, has_price.limit, has_price.bound) == ("has_price", "≥ 85 %", "at least 80 %")


def test_large_numbers_are_whole_numbers() -> None:
    keys = row(guard=Guard.ASSIGNMENT, value=12_345.0, control=151.8, comparison=Comparison.SHARES)
    basket = row(guard=Guard.OWN_MEAN, metric="basket_value", value=12_345.6)
    assert (keys.candidate, keys.control, basket.candidate) == ("12,345", "152", "12,346")


def test_what_is_not_known_is_empty() -> None:
    made = row(value=None)
    assert (made.candidate, made.control, made.bound) == ("–", "", "")


def test_the_guard_of_a_metric_has_its_name() -> None:
    assert row(guard=Guard.OWN_MEAN, metric="basket_value").name == "basket_value"


@pytest.mark.parametrize(
    ("guard", "worse", "control", "limit"),
    [
        (Guard.ERROR_RATE, Direction.HIGHER, 0.05, 0.1),
        (Guard.OWN_SHARE, Direction.HIGHER, 0.2, 0.4),
        (Guard.OWN_SHARE, Direction.LOWER, 0.9, 0.8),  # control has 10 % bad ones, so that 20 % are allowed
        (Guard.OWN_MEAN, Direction.HIGHER, -10.0, 0.0),
        (Guard.OWN_MEAN, Direction.LOWER, 10.0, 0.0),
    ],
)
def test_twice_as_bad_as_control_is_a_value(guard: Guard, worse: Direction, control: float, limit: float) -> None:
    compared = Judgment(
        guard, 0.5, 2, 60, Verdict.PASS, control=control, bound=2, comparison=Comparison.CONTROL, worse=worse
    )
    assert compared.limit_value == pytest.approx(limit)
    assert compared.bound_value == pytest.approx(limit)
    assert replace(compared, control=None).bound_value is None
