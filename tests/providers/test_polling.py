"""Whole polls over HTTP, against feeds that behave well or badly."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings

from core.access.actors import SYSTEM
from providers import operations
from providers.fleet.backfill import Scope
from providers.models import Event, FetchAttempt, PollSlot, PropLine, ProviderState, Sport, StatusChange
from providers.polling import poller
from providers.polling.claims import claim_due
from providers.polling.ingest import store_poll
from providers.polling.poller import poller_of_this_process, stop_poller
from providers.stub.server import served
from providers.upstream import caller
from providers.upstream.messages import Poll
from tests.conftest import committed
from tests.processes import until
from tests.providers.polls import event, feed, poll

pytestmark = committed
StubFeed = Callable[..., str]


def offered() -> set[tuple[Any, ...]]:
    rows = PropLine.objects.filter(removed_at=None)
    return set(rows.values_list("event__external_id", "bookmaker", "market", "player", "side", "point"))


def test_it_stores_games_lines_calls_and_counters(state: ProviderState, stub_feed: StubFeed) -> None:
    stub_feed()
    done = poll()
    state.refresh_from_db()
    assert done.is_good
    assert len(offered()) == PropLine.objects.count() == len(done.answer.lines) == state.last_prop_count > 300
    assert {book for _, book, *_ in offered()} == {"draftkings", "fanduel", "betmgm"}
    assert {market for _, _, market, *_ in offered()} >= {"h2h", "spreads", "totals", "player_points"}
    assert Event.objects.count() == len(done.answer.games) > 5
    assert Event.objects.filter(source="stub", sport="NBA").count() == Event.objects.count()
    calls = FetchAttempt.objects.count()
    assert calls == len(done.calls) > 3
    assert (state.total_requests, state.successful_requests, state.failed_requests) == (calls, calls, 0)
    assert (state.unique_props_seen, state.total_props_fetched) == (state.last_prop_count, state.last_prop_count)
    assert state.average_response_time_ms > 0
    assert state.last_successful_fetch == state.last_fetch_attempt != None  # noqa: E711 - a chained comparison


def test_it_stores_nothing_twice(state: ProviderState, stub_feed: StubFeed) -> None:
    stub_feed()
    poll()
    first = offered()
    poll()
    state.refresh_from_db()
    assert offered() == first
    assert PropLine.objects.count() == len(first) == state.unique_props_seen
    assert state.total_props_fetched == 2 * len(first)


def test_it_rewrites_only_lines_that_changed(state: ProviderState, stub_feed: StubFeed) -> None:
    stub_feed()
    poll()
    PropLine.objects.filter(market="h2h").update(price=1)
    before = dict(PropLine.objects.values_list("pk", "changed_at"))
    answer = operations.poll_round(Scope("stub", "NBA"), actor=SYSTEM)[0].result(30).poll.answer
    after = dict(PropLine.objects.values_list("pk", "changed_at"))
    changed = {pk for pk in after if after[pk] != before[pk]}
    prices = {line.identity: line.price for line in answer.lines}
    assert changed >= set(PropLine.objects.filter(market="h2h").values_list("pk", flat=True))
    assert len(changed) < len(before)
    for line in PropLine.objects.select_related("event"):
        assert line.event
        identity = (line.event.external_id, line.bookmaker, line.market, line.player, line.side, line.point)
        assert line.price == prices[identity]


def test_it_makes_a_state_active_with_its_first_good_fetch(state: ProviderState, stub_feed: StubFeed) -> None:
    ProviderState.objects.filter(pk=state.pk).update(status="inactive")
    stub_feed()
    poll()
    state.refresh_from_db()
    assert state.status == "active"
    change = StatusChange.objects.get()
    assert (change.from_status, change.to_status, change.actor) == ("inactive", "active", "system")
    assert change.cause == "first good fetch"


def test_the_last_error_names_a_missing_variable_and_no_call_is_made(fleet: None) -> None:
    assert poll("draftkings").calls == ()
    state = ProviderState.objects.get(provider="fanduel", sport="NBA")
    assert (state.last_error, state.status) == ("THEODDS_API_KEY is not set", "inactive")
    assert (state.consecutive_errors, state.total_requests, FetchAttempt.objects.count()) == (0, 0, 0)


def test_the_problem_names_a_missing_stub_feed(state: ProviderState) -> None:
    assert poll().problem == "STUB_FEED_URL is not set"


def test_the_problem_names_a_sport_that_the_adapter_does_not_cover(fleet: None) -> None:
    Sport.objects.create(code="CRICKET", name="Cricket")
    state = ProviderState.objects.create(provider_id="prizepicks", sport_id="CRICKET")
    operations.enable([state.pk], actor=SYSTEM)
    assert poll("prizepicks", "CRICKET").problem == "prizepicks does not cover CRICKET"


BROKEN = {
    "500": ("http_error", "HTTP 500: INTERNAL Something broke"),
    "429": ("throttled", "HTTP 429: EXCEEDED_FREQ_LIMIT"),
    "401": ("refused", "HTTP 401: INVALID_KEY"),
    "html": ("unreadable", "cannot read the answer: it is HTML, not JSON"),
    "truncated": ("unreadable", "cannot read the answer: it is not valid JSON"),
    "wrong-type": ("unreadable", "cannot read the answer: unexpected shape"),
    "huge": ("too_large", "the answer is larger than"),
    "timeout": ("timeout", "no answer within the time limit"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_bad_answer_is_counted_and_removes_nothing(
    fault: str, state: ProviderState, stub_feed: StubFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_feed()
    poll()
    before = offered()
    if fault == "timeout":  # the table allows no time-out under ten seconds
        monkeypatch.setattr(poller, "time_limit", lambda claim: 0.3)
    monkeypatch.setattr(caller, "MAX_BYTES", 1024 * 1024)
    stub_feed(fault)
    done = poll()
    state.refresh_from_db()
    attempt = FetchAttempt.objects.latest("pk")
    outcome, message = BROKEN[fault]
    assert attempt.outcome == outcome
    assert attempt.http_status == (int(fault) if fault.isdigit() else None if fault == "timeout" else 200)
    assert attempt.message.startswith(message)
    assert state.last_error == done.problem == attempt.message
    retried = 1 if fault == "500" else 0
    assert (state.consecutive_errors, state.failed_requests) == (0 if fault == "429" else 1, 1 + retried)
    assert offered() == before


def test_an_empty_answer_removes_nothing(state: ProviderState, stub_feed: StubFeed) -> None:
    stub_feed()
    poll()
    before = offered()
    stub_feed("empty")
    assert poll().is_good
    assert offered() == before


def test_a_slow_answer_is_a_good_one(
    state: ProviderState, stub_feed: StubFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.stub.faults.SLOW_SECONDS", 0.05)
    stub_feed("slow")
    assert poll().is_good
    assert all(attempt.duration_ms >= 50 for attempt in FetchAttempt.objects.all())


def test_an_unreachable_upstream_is_recorded(state: ProviderState, settings: Settings) -> None:
    settings.STUB_FEED_URL = "http://127.0.0.1:9"
    assert poll().problem.startswith("cannot connect")
    assert list(FetchAttempt.objects.values_list("outcome", flat=True)) == ["unreachable"] * 2  # one retry


def test_a_good_poll_ends_a_row_of_failures(state: ProviderState, stub_feed: StubFeed) -> None:
    stub_feed("500")
    poll()
    poll()
    state.refresh_from_db()
    assert state.consecutive_errors == 2
    stub_feed()
    poll()
    state.refresh_from_db()
    assert (state.consecutive_errors, state.last_error) == (0, "")


def test_a_slow_feed_delays_no_other(fleet: None, stub_feed: StubFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatch does not wait, and a fetch that hangs delays no other fetch."""
    stub_feed("timeout:0.5", seed=3)
    monkeypatch.setattr(poller, "time_limit", lambda claim: 1.0)
    polls = operations.poll_round(Scope("stub"), actor=SYSTEM)
    slowest = max(future.result(30).poll.late_ms for future in polls)
    assert any(future.result().poll.problem for future in polls)
    assert slowest < 1000


def test_a_tick_polls_what_is_due(fleet: None, stub_feed: StubFeed) -> None:
    stub_feed()
    assert operations.poll_due() == 8
    for future in list(poller_of_this_process().polls):
        future.result(30)
    assert ProviderState.objects.filter(provider="stub", last_prop_count__gt=0).count() == 4
    assert operations.poll_due() == 0


def test_a_worker_that_stops_releases_its_claims(state: ProviderState, stub_feed: StubFeed) -> None:
    stub_feed("timeout")
    operations.poll_round(Scope("stub", "NBA"), actor=SYSTEM)
    assert PollSlot.objects.filter(lease_until__isnull=False).count() == 1
    stop_poller()
    assert PollSlot.objects.filter(lease_until__isnull=False).count() == 0
    assert FetchAttempt.objects.count() == 0


def test_a_tick_waits_for_no_other_ticks_fetches(fleet: None, settings: Settings) -> None:
    """One feed hangs. The tick returns, and the next tick polls the other feeds."""
    is_hanging, end = threading.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if "basketball" in request.path:
            is_hanging.set()
            await end.wait()
        return web.json_response([])

    ProviderState.objects.exclude(provider="stub").update(is_enabled=False)
    operations.disable([], actor=SYSTEM)
    later = PollSlot.objects.filter(base_url="").exclude(sport="NBA")
    later.update(next_poll_at=Now() + timedelta(minutes=1))
    with served(feed(answer)) as url:
        settings.STUB_FEED_URL = url
        assert operations.poll_due() == 1
        assert is_hanging.wait(10)
        later.update(next_poll_at=Now())
        assert operations.poll_due() == 3
        assert until(lambda: FetchAttempt.objects.filter(outcome="ok").count() == 3)
        # A poll's future ends a moment after its rows are stored.
        assert until(lambda: [poll.done() for poll in list(poller_of_this_process().polls)] == [False])
        stop_poller()


def test_one_games_failed_call_leaves_the_poll_good(state: ProviderState, settings: Settings) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

    async def answer(request: web.Request) -> web.Response:
        if "/events/" in request.path:
            return web.json_response({"message": "Event not found", "error_code": "EVENT_NOT_FOUND"}, status=404)
        return web.json_response([event(commence_time=soon)])

    with served(feed(answer)) as url:
        settings.STUB_FEED_URL = url
        assert poll().is_good
    state.refresh_from_db()
    assert (state.consecutive_errors, state.failed_requests) == (0, 1)
    assert state.last_error == "HTTP 404: EVENT_NOT_FOUND Event not found"


def test_a_deadline_that_is_set_during_a_poll_stays(state: ProviderState) -> None:
    [claim] = claim_due(scope=Scope("stub", "NBA"))
    operations.poll_now([state.pk], actor=SYSTEM)
    deadline = PollSlot.objects.get(pk=claim.slot).next_poll_at
    store_poll(claim, Poll(problem="none"))
    assert PollSlot.objects.get(pk=claim.slot).next_poll_at == deadline


def test_two_verbs_at_once_leave_no_slot_without_members(fleet: None) -> None:
    def disable(provider: str) -> None:
        try:
            operations.disable([ProviderState.objects.get(provider=provider, sport="NBA").pk], actor=SYSTEM)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(disable, ["draftkings", "fanduel"]))
    assert PollSlot.objects.exclude(base_url="").get(sport="NBA").next_poll_at is None
