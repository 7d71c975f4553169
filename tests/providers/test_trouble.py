"""The effects of trouble over several polls: errors and the recovery from them, retries, alerts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from unittest.mock import ANY

import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings

from core.access.actors import SYSTEM
from core.notices import notify
from providers import operations
from providers.adapters import odds_api
from providers.choices import PollOutcome
from providers.fleet.backfill import Scope
from providers.fleet.fleet_alert import watch_fleet
from providers.models import Event, FetchAttempt, PollSlot, PropLine, Provider, ProviderState, StatusChange
from providers.polling.claims import claim_due
from providers.polling.ingest import store_poll
from providers.polling.poller import stop_poller
from providers.stub.server import served
from providers.upstream.messages import Answer, Call, Game, Line, Poll
from tests.conftest import committed
from tests.providers.polls import due_poll, flaky_feed, poll, seconds_to_next_poll, slot

pytestmark = committed
StubFeed = Callable[..., str]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.upstream.caller.retry_delay", lambda attempt, dice: 0.0)


def test_a_state_goes_to_error_and_recovers_by_itself(
    state: ProviderState, stub_feed: StubFeed, notices: list[notify.Event]
) -> None:
    ProviderState.objects.filter(pk=state.pk).update(poll_interval_seconds=30)
    operations.disable([], actor=SYSTEM)
    stub_feed("500")
    waits = []
    for _ in range(5):
        due_poll()
        waits.append(round(seconds_to_next_poll()))
    state.refresh_from_db()
    assert (state.status, state.consecutive_errors, slot().backoff_level) == ("error", 5, 3)
    assert waits[2:] == [60, 120, 240]
    stub_feed()
    for level in (2, 1, 0):
        due_poll()
        assert slot().backoff_level == level
    state.refresh_from_db()
    assert (state.status, state.last_error) == ("active", "")
    assert seconds_to_next_poll() <= 45
    changes = list(StatusChange.objects.order_by("pk").values_list("from_status", "to_status", "cause", "actor"))
    why = "3 failed polls in a row: HTTP 500: INTERNAL Something broke"
    recovered = "the upstream answers again"
    assert changes == [("active", "error", why, "system"), ("error", "active", recovered, "system")]
    assert [event.message for event in notices] == [f"stub NBA is error: {why}", f"stub NBA is active: {recovered}"]


def test_a_bad_key_is_not_retried_and_is_named(state: ProviderState, stub_feed: StubFeed) -> None:
    stub_feed("401")
    due_poll()
    state.refresh_from_db()
    assert (state.last_error, state.total_requests) == ("HTTP 401: INVALID_KEY API key is not valid", 1)


@pytest.mark.parametrize(("failures", "is_good", "calls"), [(1, True, 2), (2, True, 3), (3, False, 3)])
def test_it_retries_as_often_as_allowed(
    failures: int, is_good: bool, calls: int, state: ProviderState, settings: Settings
) -> None:
    ProviderState.objects.filter(pk=state.pk).update(max_retries=2)
    operations.disable([], actor=SYSTEM)
    with served(flaky_feed(failures)) as url:
        settings.STUB_FEED_URL = url
        assert due_poll().is_good == is_good
        stop_poller()
    assert FetchAttempt.objects.count() == calls
    state.refresh_from_db()
    assert (state.total_requests, state.consecutive_errors) == (calls, 0 if is_good else 1)


def test_a_retry_stays_inside_the_time_out(
    state: ProviderState, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.upstream.caller.retry_delay", lambda attempt, dice: 20.0)
    with served(flaky_feed(1)) as url:
        settings.STUB_FEED_URL = url
        assert not due_poll().is_good
        stop_poller()
    assert FetchAttempt.objects.count() == 1


def test_when_half_the_fleet_fails_there_is_one_alert(fleet: None, notices: list[notify.Event]) -> None:
    stub = ProviderState.objects.filter(provider="stub")
    ProviderState.objects.filter(is_enabled=True).update(last_fetch_attempt=Now())
    stub.update(consecutive_errors=1)
    watch_fleet()
    assert notices == []  # 4 of 12
    ProviderState.objects.filter(provider="fanduel").update(consecutive_errors=1)
    for _ in range(3):
        watch_fleet()
    message = "8 of 12 provider states fail at once, of 2 accounts: first check this side (network, name server, clock)"
    assert notices == [notify.Event("our_side", "fleet", message, ANY)]
    stub.update(consecutive_errors=0)
    watch_fleet()
    assert len(notices) == 1  # 4 of 12 is more than a quarter
    ProviderState.objects.filter(provider="fanduel", sport="NBA").update(consecutive_errors=0)
    for _ in range(3):
        watch_fleet()
    assert len(notices) == 2
    assert "no longer" in notices[1].message


def test_a_return_to_service_forgets_earlier_failures(state: ProviderState, stub_feed: StubFeed) -> None:
    ProviderState.objects.filter(pk=state.pk).update(consecutive_errors=7, status="error")
    PollSlot.objects.filter(base_url="", sport="NBA").update(backoff_level=3)
    operations.set_maintenance([state.pk], actor=SYSTEM)
    operations.return_to_service([state.pk], actor=SYSTEM)
    assert slot().backoff_level == 0
    stub_feed("500")
    due_poll()
    state.refresh_from_db()
    assert (state.status, state.consecutive_errors) == ("inactive", 1)


def test_a_poll_by_hand_does_not_change_the_schedule(state: ProviderState, stub_feed: StubFeed) -> None:
    PollSlot.objects.filter(base_url="", sport="NBA").update(next_poll_at=Now() + timedelta(minutes=4))
    before = slot().next_poll_at
    stub_feed()
    poll()
    assert slot().next_poll_at == before


@pytest.mark.parametrize(("interval", "expected"), [(30, 0), (100, 50), (300, 250)])
def test_a_new_interval_counts_from_the_last_poll(state: ProviderState, interval: int, expected: int) -> None:
    """The last poll was 50 s ago, at an interval of 60 s."""
    PollSlot.objects.filter(base_url="", sport="NBA").update(
        next_poll_at=Now() + timedelta(seconds=10), interval_seconds=60, effective_interval_seconds=60
    )
    state.poll_interval_seconds = interval
    operations.save_configuration(state, actor=SYSTEM)
    assert seconds_to_next_poll() == pytest.approx(expected, abs=2)
    assert slot().effective_interval_seconds == interval


def test_a_new_interval_is_the_longest_wait(state: ProviderState) -> None:
    """After a first poll, which is off the grid, the next one may come after one and a half intervals."""
    PollSlot.objects.filter(base_url="", sport="NBA").update(next_poll_at=Now() + timedelta(seconds=440))
    state.poll_interval_seconds = 30
    operations.save_configuration(state, actor=SYSTEM)
    assert seconds_to_next_poll() <= 30


def test_an_answer_that_the_tables_refuse_is_a_failure(
    state: ProviderState, stub_feed: StubFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_feed()
    monkeypatch.setattr(odds_api, "lines_of", lambda event: [Line(event.id, "b" * 51, "h2h", "", "H", None, 100.0)])
    poll()
    state.refresh_from_db()
    assert state.last_error == "cannot store the answer: value too long for type character varying(50)"
    assert (state.consecutive_errors, PropLine.objects.count()) == (1, 0)
    assert FetchAttempt.objects.count() > 1


def test_an_interval_edited_during_a_poll_counts_from_that_poll(state: ProviderState) -> None:
    PollSlot.objects.filter(base_url="", sport="NBA").update(next_poll_at=Now())
    [claim] = claim_due(scope=Scope("stub", "NBA"))
    state.poll_interval_seconds = 60
    operations.save_configuration(state, actor=SYSTEM)
    store_poll(claim, Poll(problem="none"))
    assert seconds_to_next_poll() == pytest.approx(60, abs=2)


def test_enabling_forgets_earlier_failures(state: ProviderState) -> None:
    ProviderState.objects.filter(pk=state.pk).update(is_enabled=False, consecutive_errors=2)
    operations.enable([state.pk], actor=SYSTEM)
    state.refresh_from_db()
    assert state.consecutive_errors == 0


def test_lines_of_a_game_long_begun_are_no_longer_offered(state: ProviderState) -> None:
    for name, hours in (("old", 30), ("new", 3)):
        game = Event.objects.create(
            source="stub", external_id=name, sport_id="NBA", home_team="H", starts_at=Now() - timedelta(hours=hours)
        )
        PropLine.objects.create(state=state, event=game, bookmaker="b", market="h2h", side="H", price=100)
    operations.prune()
    offered = PropLine.objects.filter(removed_at=None)
    assert list(offered.values_list("event__external_id", flat=True)) == ["new"]


def test_two_accounts_that_list_the_same_games_do_not_deadlock(fleet: None) -> None:
    now = datetime.now(UTC)
    games = tuple(Game(f"g{n:03}", "H", "A", now) for n in range(200))
    Provider.objects.filter(name="betmgm").update(credential_env="OTHER_API_KEY")
    operations.enable(list(ProviderState.objects.filter(provider="betmgm").values_list("pk", flat=True)), actor=SYSTEM)
    claims = [claim for claim in claim_due() if claim.source == "odds_api" and claim.sport == "NBA"]
    assert len(claims) == 2

    def store(number: int) -> bool:
        try:
            ordered = games if number == 1 else games[::-1]
            poll = Poll((Call("/odds", now, 1.0, PollOutcome.OK),), Answer(ordered), is_good=True)
            return store_poll(claims[number], poll)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(store, range(2))) == [True, True]
    assert Event.objects.count() == 200
