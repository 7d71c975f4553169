"""Answers that no table can hold, sports that an upstream does not cover, and errors in an adapter."""

import json
from collections.abc import Callable

import pytest
from aiohttp import web
from pytest_django import Settings

from core.access.actors import SYSTEM
from providers import operations
from providers.models import Event, FetchAttempt, PollSlot, ProviderState, Sport
from providers.stub.server import served
from providers.upstream.messages import Poll
from tests.conftest import committed
from tests.providers.polls import event, feed, poll

pytestmark = committed
StubFeed = Callable[..., str]


def answer(settings: Settings, body: str) -> Poll:
    """Poll a feed that answers every request with this body."""

    async def respond(request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    with served(feed(respond)) as url:
        settings.STUB_FEED_URL = url
        return poll()


@pytest.mark.parametrize(
    "wrong",
    [
        event(id="x" * 65),
        event(home_team="H" * 101),
        event(home_team="H\0"),
        event(commence_time="2099-01-01T00:00:00"),
        event(commence_time=10**18),
        event(bookmakers=[{"key": "b", "markets": [{"key": "m", "outcomes": [{"name": "n", "price": "1"}]}]}]),
    ],
    ids=str,
)
def test_a_value_that_no_table_can_hold_makes_the_answer_unreadable(
    state: ProviderState, settings: Settings, wrong: dict[str, object]
) -> None:
    assert answer(settings, json.dumps([event(), wrong])).problem
    assert FetchAttempt.objects.get().outcome == "unreadable"
    assert not Event.objects.exists()


def test_a_game_that_is_listed_twice_is_one(state: ProviderState, settings: Settings) -> None:
    assert answer(settings, json.dumps([event(), event()])).is_good
    assert Event.objects.count() == 1


def test_the_problem_names_a_sport_that_the_upstream_does_not_cover(state: ProviderState) -> None:
    Sport.objects.create(code="WNBA", name="Women's National Basketball Association")
    ProviderState.objects.create(provider_id="stub", sport_id="WNBA", is_enabled=True)
    operations.disable([], actor=SYSTEM)  # makes the slots match
    assert poll(sport="WNBA").problem == "odds_api does not cover WNBA"


def test_an_error_in_an_adapter_is_recorded_and_the_slot_is_released(
    state: ProviderState, stub_feed: StubFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_feed()
    monkeypatch.setattr("providers.adapters.odds_api.PLAYER_MARKETS", {})
    assert poll().problem == "unexpected KeyError in the adapter"
    state.refresh_from_db()
    assert state.consecutive_errors == 1
    assert not PollSlot.objects.filter(lease_until__isnull=False).exists()
