"""Answers that no table could hold, sports that no upstream has, and faults of our own."""

import json
from collections.abc import Callable

import pytest
from aiohttp import web
from pytest_django import Settings

from core.access.actors import SYSTEM
from providers import operations
from providers.models import Event, FetchAttempt, PollSlot, ProviderState, Sport
from providers.polling.messages import Poll
from providers.stub.server import served
from tests.conftest import committed
from tests.providers.polls import event, poll

pytestmark = committed
StubFeed = Callable[..., str]


def answer(settings: Settings, body: str) -> Poll:
    """One poll of a feed that always says the same."""

    async def say(request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", say)
    with served(app) as url:
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
def test_what_no_table_could_hold_is_unreadable(
    state: ProviderState, settings: Settings, wrong: dict[str, object]
) -> None:
    assert answer(settings, json.dumps([event(), wrong])).problem
    assert FetchAttempt.objects.get().outcome == "unreadable"
    assert not Event.objects.exists()


def test_a_game_that_is_listed_twice_is_one(state: ProviderState, settings: Settings) -> None:
    assert answer(settings, json.dumps([event(), event()])).is_good
    assert Event.objects.count() == 1


def test_it_says_that_an_upstream_lacks_a_sport(state: ProviderState) -> None:
    Sport.objects.create(code="WNBA", name="Women's National Basketball Association")
    ProviderState.objects.create(provider_id="stub", sport_id="WNBA", is_enabled=True)
    operations.disable([], actor=SYSTEM)  # brings the slots up to date
    assert poll(sport="WNBA").problem == "odds_api has no WNBA"


def test_a_fault_of_ours_is_on_record_and_the_slot_goes_on(
    state: ProviderState, stub_feed: StubFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_feed()
    monkeypatch.setattr("providers.adapters.odds_api.PLAYER_MARKETS", {})
    assert poll().problem == "unexpected KeyError in the adapter"
    state.refresh_from_db()
    assert state.consecutive_errors == 1
    assert not PollSlot.objects.filter(lease_until__isnull=False).exists()
