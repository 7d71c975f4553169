"""GET /api/v1/lines: the lines that each stage publishes, with filters and in pages."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from providers.models import Event, PropLine, Provider, ProviderState
from rollout.gate import runtime
from rollout.models import Activation

pytestmark = pytest.mark.django_db
TOKEN = {"Authorization": "Bearer let-me-in"}
Stages = Callable[..., None]


def ask(**params: Any) -> Any:
    return Client().get("/api/v1/lines", params, headers=TOKEN)


def offered(answer: Any) -> list[tuple[str, str, str]]:
    assert answer.status_code == 200, answer.content
    return [(line["provider"], line["sport"], line["market"]) for line in answer.json()["lines"]]


@pytest.fixture
def offers(fleet: None) -> None:
    """Two markets of each enabled state and of one that is not enabled, and one line that was removed."""
    game = Event.objects.create(
        source="stub", external_id="g", sport_id="NBA", home_team="Home", away_team="Away", starts_at=Now()
    )
    states = ProviderState.objects.filter(is_enabled=True) | ProviderState.objects.filter(provider="betmgm")
    for state in states.filter(sport__in=["NBA", "NFL"]):
        for market in ("h2h", "points"):
            event = game if state.sport_id == "NBA" else None
            PropLine.objects.create(state=state, event=event, bookmaker="b", market=market, price=-110)
    stub = ProviderState.objects.get(provider="stub", sport="NBA")
    PropLine.objects.create(state=stub, bookmaker="b", market="gone", removed_at=Now())


@pytest.mark.parametrize(
    ("stage", "providers"),
    [
        ("DISABLED", set()),
        ("DARK_MODE", set()),
        ("SHADOW_MODE", set()),
        ("PARTIAL_ACTIVE", {"stub", "draftkings"}),
        ("FULL_ACTIVE", {"stub", "draftkings", "fanduel"}),
    ],
)
def test_a_stage_publishes_its_providers(offers: None, at_stage: Stages, stage: str, providers: set[str]) -> None:
    at_stage(stage, percent=10)
    answer = ask()
    assert {provider for provider, _, _ in offered(answer)} == providers
    assert len(offered(answer)) == 4 * len(providers)
    assert (answer.json()["stage"], answer.json()["available"], answer.json()["next"]) == (stage, True, None)


def test_a_line_has_its_event_and_its_price(offers: None, at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    [line] = ask(provider="stub", sport="nba", market="h2h").json()["lines"]
    row = PropLine.objects.get(state__provider="stub", market="h2h", event__isnull=False)
    assert (line["id"], line["event"], line["home_team"], line["price"]) == (row.pk, row.event_id, "Home", -110)
    assert "state_id" not in line
    [single] = ask(provider="stub", sport="NFL", market="h2h").json()["lines"]
    assert (single["event"], single["home_team"]) == (None, None)


def test_filters_select_lines(offers: None, at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    game = Event.objects.get()
    assert {sport for _, sport, _ in offered(ask(event=game.pk))} == {"NBA"}
    assert len(offered(ask(event=game.pk, market="points"))) == 3
    assert offered(ask(provider="betmgm")) == []  # it is not enabled
    assert offered(ask(event=game.pk + 1)) == []


def test_pages_follow_each_other(offers: None, at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    ids: list[int] = []
    cursor = ""
    while True:
        page = ask(limit=5, cursor=cursor).json()
        ids += [line["id"] for line in page["lines"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert len(ids) == len(set(ids)) == 12


def test_nothing_is_published_while_serving_is_switched_off(offers: None, at_stage: Stages) -> None:
    Activation.objects.filter(part="serving").update(is_on=False)
    at_stage("FULL_ACTIVE")
    answer = ask()
    assert offered(answer) == []
    assert (answer.json()["available"], answer.json()["stage"]) == (False, "FULL_ACTIVE")


def test_a_blind_process_publishes_nothing(offers: None, at_stage: Stages) -> None:
    at_stage("FULL_ACTIVE")
    runtime.shared().states.expire()
    assert offered(ask()) == []


def test_an_operator_chooses_the_priority_providers(offers: None, at_stage: Stages) -> None:
    at_stage("PARTIAL_ACTIVE")
    Provider.objects.filter(name="fanduel").update(is_priority=True)
    assert ("fanduel", "NBA", "h2h") in offered(ask())


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"sport": "chess"}, "cannot find the sport 'chess'; use one of MLB, NBA, NFL, NHL"),
        ({"provider": "nobody"}, "cannot find the provider 'nobody'; use one of betmgm"),
        ({"cursor": "1.x"}, "cursor: "),
        ({"cursor": "1.1\n"}, "cursor: "),
        ({"limit": 0}, "limit: "),
        ({"limit": 1001}, "limit: "),
        ({"event": "x"}, "event: "),
        ({"event": 2**70}, "event: "),
        ({"market": "x" * 65}, "market: "),
        ({"sport": "\x00"}, "sport: "),
        ({"market": "\x00"}, "market: "),
        ({"provider": "\x00"}, "provider: "),
    ],
)
def test_a_wrong_filter_is_named(fleet: None, at_stage: Stages, params: dict[str, Any], problem: str) -> None:
    at_stage("FULL_ACTIVE")
    answer = ask(**params)
    assert answer.status_code == 400
    assert "; ".join(answer.json().values()).startswith(problem)


def test_it_needs_a_token(db: None) -> None:
    assert Client().get("/api/v1/lines").status_code == 401
