"""The answers of each API over HTTP, well-behaved and with every fault of the stub feed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import msgspec
import pytest
from aiohttp import web
from pytest_django import Settings

from core.access.actors import SYSTEM
from providers import operations
from providers.adapters import prizepicks, sportradar
from providers.adapters.prizepicks import PrizePicksBoard
from providers.adapters.sportradar_shapes import MarketsAnswer
from providers.models import Event, FetchAttempt, PropLine, Provider, ProviderState
from providers.polling import poller
from providers.stub.faults import KINDS, Fault, FaultState, fault_middleware
from providers.stub.server import served
from providers.upstream import caller
from tests.conftest import committed
from tests.providers import answers
from tests.providers.polls import feed, poll

pytestmark = committed
KEY = "a-key-of-sportradar"
Upstream = Callable[..., list[web.Request]]


@pytest.fixture
def upstream(fleet: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """A server of both APIs, with a fault on request, that the providers point to. It returns its later requests."""
    monkeypatch.setenv("SPORTSRADAR_API_KEY", KEY)
    with ExitStack() as running:

        def start(fault: str = "") -> list[web.Request]:
            running.close()
            requests: list[web.Request] = []

            async def answer(request: web.Request) -> web.Response:
                requests.append(request)
                if request.path == "/projections":
                    return web.json_response(answers.prizepicks())
                props = "players_props" in request.path
                return web.json_response(answers.sportradar_props() if props else answers.sportradar_markets())

            app = web.Application(middlewares=[fault_middleware(FaultState(Fault.parse(fault) if fault else None), 7)])
            app.router.add_get("/{path:.*}", answer)
            settings.STUB_FEED_URL = running.enter_context(served(app))
            for name in ("prizepicks", "sportsradar"):
                Provider.objects.filter(name=name).update(base_url="")
                operations.enable([ProviderState.objects.get(provider=name, sport="NBA").pk], actor=SYSTEM)
            return requests

        yield start
        poller.stop_poller()


def lines(provider: str) -> set[tuple[object, ...]]:
    rows = PropLine.objects.filter(state__provider=provider, removed_at=None)
    return set(rows.values_list("event__external_id", "bookmaker", "market", "player", "side", "point", "price"))


def test_prizepicks_brings_player_lines(upstream: Upstream) -> None:
    requests = upstream()
    poll("prizepicks")
    assert [request.query["league_id"] for request in requests] == ["7"]
    assert lines("prizepicks") == {
        ("G1", "prizepicks", "Points", "LeBron James", "", 25.5, None),
        ("G1", "prizepicks", "Points", "LeBron James", "", 30.5, None),
        ("G1", "prizepicks", "Points (Combo)", "LeBron James + Nikola Jokic", "", 49, None),
        (None, "prizepicks", "30+ Points Games", "player 9", "", 15.5, None),
    }
    assert str(Event.objects.get()) == "DEN v LAL"
    poll("prizepicks")
    assert PropLine.objects.count() == 4  # the line of no single game keeps its row, too


def test_a_line_of_no_game_is_removed_when_it_is_no_longer_offered(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream()
    poll("prizepicks")
    whole = answers.prizepicks()
    other = {**whole["data"][-1], "id": "6", "attributes": whole["data"][-1]["attributes"] | {"line_score": 9.5}}
    monkeypatch.setattr(answers, "prizepicks", lambda: whole | {"data": [*whole["data"][:-1], other]})
    poll("prizepicks")
    assert {line[5] for line in lines("prizepicks") if line[0] is None} == {9.5}


def test_sportradar_brings_markets_and_player_lines(upstream: Upstream) -> None:
    requests = upstream()
    assert poll("sportsradar").is_good
    assert lines("sportsradar") == {
        ("sr:sport_event:1", "draftkings", "winner (incl. overtime)", "", "home", None, -120),
        ("sr:sport_event:1", "fanduel", "winner (incl. overtime)", "", "home", None, -120),
        ("sr:sport_event:1", "draftkings", "total (incl. overtime)", "", "over", 221.5, 105),
        ("sr:sport_event:1", "draftkings", "total points (incl. overtime)", "LeBron James", "over", 25.5, -115),
    }
    assert str(Event.objects.get()) == "Denver Nuggets at Los Angeles Lakers"
    assert [request.headers["x-api-key"] for request in requests] == [KEY, KEY]
    assert not any(KEY in str(request.url) for request in requests)


def test_an_html_error_of_sportradars_gateway_is_recorded_with_its_text(upstream: Upstream, settings: Settings) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, text=f"<h1>{status} Service Not Found</h1>", content_type="text/xml")

    upstream()
    with served(feed(refuse)) as url:
        settings.STUB_FEED_URL = url
        for status, outcome in ((596, "http_error"), (403, "refused")):
            assert poll("sportsradar").problem == f"HTTP {status}: {status} Service Not Found"
            assert FetchAttempt.objects.latest("pk").outcome == outcome
    assert FetchAttempt.objects.count() == 2  # neither is retried


def test_numbers_that_are_not_finite_are_left_out() -> None:
    outcome = {"type": "over", "odds_american": "nan", "total": "inf"}
    market = {"name": "m", "books": [{"name": "İ" * 30, "outcomes": [outcome]}]}
    event = {"id": "e", "start_time": answers.soon()}
    body = {"competition_sport_event_markets": [{"sport_event": event, "markets": [market]}]}
    [line] = sportradar.combine(msgspec.convert(body, MarketsAnswer).games(), []).lines
    assert (line.price, line.point) == (None, None)
    assert len(line.bookmaker) <= 50


def test_a_board_of_several_pages_is_read_whole(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answers.prizepicks()
    pages = iter([whole | {"data": whole["data"][:3]}, whole | {"data": whole["data"][3:]}])
    monkeypatch.setattr(answers, "prizepicks", lambda: next(pages) | {"meta": {"total_pages": 2}})
    requests = upstream()
    poll("prizepicks")
    assert [request.query.get("page") for request in requests] == [None, "2"]
    assert len(lines("prizepicks")) == 4


def test_a_board_that_was_cut_removes_no_line() -> None:
    whole = answers.prizepicks() | {"meta": {"total_pages": 99}}
    answer = prizepicks.to_answer(msgspec.convert(whole, PrizePicksBoard))
    assert (answer.listed, answer.player_offered >= answer.listed, answer.has_gameless) == (frozenset(), True, False)


OUTCOMES = {
    "timeout": "timeout",
    "slow": "ok",
    "500": "http_error",
    "429": "throttled",
    "401": "refused",
    "html": "unreadable",
    "truncated": "unreadable",
    "empty": "ok",
    "huge": "too_large",
    "wrong-type": "unreadable",
}


@pytest.mark.parametrize("provider", ["prizepicks", "sportsradar"])
@pytest.mark.parametrize("fault", KINDS)
def test_every_fault_has_its_outcome_and_removes_nothing(
    fault: str, provider: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream()
    poll(provider)
    before, newest = lines(provider), FetchAttempt.objects.latest("pk").pk
    monkeypatch.setattr("providers.stub.faults.SLOW_SECONDS", 0.05)
    monkeypatch.setattr("providers.upstream.caller.retry_delay", lambda attempt, dice: 0.0)
    monkeypatch.setattr(caller, "MAX_BYTES", 1024 * 1024)
    if fault == "timeout":  # the table allows no time-out under ten seconds
        monkeypatch.setattr(poller, "time_limit", lambda claim: 0.3)
    upstream(fault)
    done = poll(provider)
    calls = FetchAttempt.objects.filter(pk__gt=newest)
    assert {call.outcome for call in calls} == {OUTCOMES[fault]}
    assert lines(provider) == before
    assert done.is_good == (OUTCOMES[fault] == "ok")
    assert calls.count() == (4 if fault == "500" else 2 if (fault, provider) == ("slow", "sportsradar") else 1)
    state = ProviderState.objects.get(provider=provider, sport="NBA")
    assert (state.last_error == "") == done.is_good
    assert KEY not in state.last_error
