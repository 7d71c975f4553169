"""The past in the admin: a state's last day, and a line's prices."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from core.console.charts import Chart
from providers.admin.history import find_slot, last_errors, read_last_day, read_prices
from providers.models import Event, FetchAttempt, FleetAlert, PollSlot, PriceMove, PropLine, ProviderState, StatusChange

pytestmark = pytest.mark.django_db
STATES, LINES = "/admin/providers/providerstate/", "/admin/providers/propline/"


@pytest.fixture
def attempt(fleet: None) -> Callable[..., FetchAttempt]:
    slot = PollSlot.objects.exclude(base_url="").get(sport="NBA")

    def make(hours_ago: float, **changes: Any) -> FetchAttempt:
        fields: dict[str, Any] = {
            "slot": slot,
            "providers": ["draftkings", "fanduel"],
            "sport": "NBA",
            "path": "/odds",
            "started_at": timezone.now() - timedelta(hours=hours_ago),
            "late_ms": 1,
            "duration_ms": 100,
            "outcome": "ok",
            "lines": [40, 60],
        }
        return FetchAttempt.objects.create(**fields | changes)

    return make


def draftkings() -> tuple[ProviderState, PollSlot]:
    state = ProviderState.objects.get(provider="draftkings", sport="NBA")
    slot = find_slot(state)
    assert slot
    return state, slot


def test_a_day_comes_in_quarters_of_an_hour(attempt: Callable[..., FetchAttempt]) -> None:
    attempt(1)
    attempt(1, duration_ms=300, outcome="timeout", lines=[])
    attempt(30)
    day = read_last_day(*draftkings())
    assert len(day) == 96
    [measured] = [quarter for quarter in day if quarter.response_ms is not None]
    assert (measured.response_ms, measured.success, measured.lines) == (200, 0.5, 40)
    assert timedelta(minutes=45) <= timezone.now() - measured.begins_at <= timedelta(minutes=76)


def test_each_provider_of_a_slot_has_lines_of_its_own(attempt: Callable[..., FetchAttempt]) -> None:
    attempt(1)
    fanduel = ProviderState.objects.get(provider="fanduel", sport="NBA")
    assert [quarter.lines for quarter in read_last_day(fanduel, draftkings()[1]) if quarter.lines] == [60]


def test_a_call_for_another_provider_is_not_shown(attempt: Callable[..., FetchAttempt]) -> None:
    attempt(1, providers=["fanduel"], lines=[60], outcome="timeout")
    assert not any(quarter.response_ms for quarter in read_last_day(*draftkings()))
    assert list(last_errors(*draftkings())) == []


def test_a_states_page_shows_its_day(attempt: Callable[..., FetchAttempt], client: Client) -> None:
    attempt(1)
    attempt(2, outcome="timeout", message="no answer within the time limit", lines=[])
    state, _ = draftkings()
    StatusChange.objects.create(
        provider_name="draftkings", sport="NBA", from_status="active", to_status="error", cause="why", actor="system"
    )
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(f"{STATES}{state.pk}/change/").content.decode()
    assert page.count('<figure class="sw-chart"') == 3
    assert "Lines: now 40" in page
    assert "by system: why" in page
    assert "no answer within the time limit" in page
    assert "Next poll" in page


def test_a_state_that_was_never_polled_has_a_page_too(fleet: None, client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    for provider in ("betmgm", "prizepicks"):
        state = ProviderState.objects.get(provider=provider, sport="NBA")
        assert client.get(f"{STATES}{state.pk}/change/").status_code == 200


def test_a_stretched_interval_and_an_error_are_described(fleet: None, client: Client) -> None:
    state, slot = draftkings()
    PollSlot.objects.filter(pk=slot.pk).update(effective_interval_seconds=7200, backoff_level=2)
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(f"{STATES}{state.pk}/change/").content.decode()
    assert "Polled every 2 h" in page
    assert "at level 2" in page


def test_the_alert_is_above_the_list(fleet: None, client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    assert "More than half of the fleet" not in client.get(STATES).content.decode()
    FleetAlert.objects.update(since=timezone.now())
    assert "More than half of the fleet" in client.get(STATES).content.decode()


@pytest.fixture
def line(state: ProviderState) -> PropLine:
    event = Event.objects.create(
        source="stub", external_id="x", sport_id="NBA", home_team="H", away_team="A", starts_at=timezone.now()
    )
    made = PropLine.objects.create(state=state, event=event, bookmaker="b", market="h2h", side="H", price=110)
    PropLine.objects.filter(pk=made.pk).update(first_seen=timezone.now() - timedelta(hours=3))
    return PropLine.objects.get(pk=made.pk)


def test_a_lines_prices_begin_with_its_first(line: PropLine) -> None:
    assert [price for _, price in read_prices(line)] == [110]
    for hours, was, price in ((2, 100, 105), (1, 105, 110)):
        PriceMove.objects.create(line=line, was=was, price=price, moved_at=timezone.now() - timedelta(hours=hours))
    prices = read_prices(line)
    assert [price for _, price in prices] == [100, 105, 110]
    assert prices[0][0] == line.first_seen
    moments = [moment for moment, _ in prices]
    assert moments == sorted(moments)


def test_a_lines_page_draws_its_prices(line: PropLine, client: Client) -> None:
    PriceMove.objects.create(line=line, was=100, price=110)
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(f"{LINES}{line.pk}/change/").content.decode()
    assert "Price: now 110, from 100 to 110" in page


def test_a_chart_has_gaps_without_measurements() -> None:
    points = [(0.0, 1.0), (0.25, 2.0), (0.5, None), (0.75, 3.0), (1.0, None)]
    html = Chart("T", points, "then", "now").html()
    assert html.count("<polyline") == 1
    assert html.count("<path") == 1  # a single value between two gaps


def test_a_chart_without_measurements_reports_that() -> None:
    assert "nothing measured yet" in Chart("T", [(0.0, None)], "then", "now").html()


def test_a_chart_does_not_leave_its_frame() -> None:
    html = Chart("T", [(0.0, -50.0), (1.0, 500.0)], "then", "now", lowest=0, highest=100).html()
    heights = [float(y) for y in re.findall(r"\d,([\d.]+)", re.findall('points="([^"]*)"', html)[0])]
    assert all(4 <= y <= 96 for y in heights)


def test_a_chart_escapes_its_texts() -> None:
    assert "<script>" not in Chart("<script>", [(0.0, 1.0)], "<b>", "<i>").html()
