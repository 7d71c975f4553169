"""What trouble does to a fleet over several polls: errors and the way back, throttling, retries, quota, alerts."""

from collections.abc import Callable
from datetime import timedelta
from unittest.mock import ANY

import pytest
from aiohttp import web
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

from providers import operations, polling
from providers.alert import watch_fleet
from providers.backfill import Scope
from providers.feed import Poll
from providers.models import FetchAttempt, PollSlot, ProviderState, StatusChange
from providers.stub_server import served
from rollout import notify
from rollout.actors import SYSTEM
from tests.conftest import committed
from tests.providers.polls import event, poll

pytestmark = committed
StubFeed = Callable[..., str]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[notify.Event]:
    """What people were told."""
    heard: list[notify.Event] = []
    monkeypatch.setattr(notify, "_channels", [heard.append])
    return heard


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.fetch.retry_delay", lambda attempt, dice: 0.0)


def due_poll() -> Poll:
    """One scheduled poll of the stub's NBA slot, as a tick makes it."""
    PollSlot.objects.filter(base_url="", sport="NBA").update(next_poll_at=Now(), lease_until=None)
    claims = polling.claim_due(scope=Scope("stub", "NBA"))
    [polled] = [future.result(30) for future in polling.poller().dispatch(claims)]
    assert polled.is_stored
    return polled.poll


def slot() -> PollSlot:
    return PollSlot.objects.get(base_url="", sport="NBA")


def wait() -> float:
    """Seconds until the slot's next poll."""
    found = PollSlot.objects.annotate(left=F("next_poll_at") - Now()).get(base_url="", sport="NBA")
    left: timedelta = found.left
    return left.total_seconds()


def test_it_goes_to_error_and_comes_back_by_itself(
    state: ProviderState, stub_feed: StubFeed, told: list[notify.Event]
) -> None:
    ProviderState.objects.filter(pk=state.pk).update(poll_interval_seconds=30)
    operations.disable([], actor=SYSTEM)
    stub_feed("500")
    waits = []
    for _ in range(5):
        due_poll()
        waits.append(round(wait()))
    state.refresh_from_db()
    assert (state.status, state.consecutive_errors, slot().backoff_level) == ("error", 5, 3)
    assert waits[2:] == [60, 120, 240]
    stub_feed()
    for level in (2, 1, 0):
        due_poll()
        assert slot().backoff_level == level
    state.refresh_from_db()
    assert (state.status, state.last_error) == ("active", "")
    assert wait() <= 45
    changes = list(StatusChange.objects.order_by("pk").values_list("from_status", "to_status", "cause", "actor"))
    why = "3 failed polls in a row: HTTP 500: INTERNAL Something broke"
    assert changes == [("active", "error", why, "system"), ("error", "active", "it answers again", "system")]
    assert [event.message for event in told] == [f"stub NBA is error: {why}", "stub NBA is active: it answers again"]


def test_throttling_respects_retry_after_and_is_no_ill_health(state: ProviderState, stub_feed: StubFeed) -> None:
    ProviderState.objects.filter(pk=state.pk).update(poll_interval_seconds=30)
    operations.disable([], actor=SYSTEM)
    seen = []

    async def say(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"error_code": "EXCEEDED_FREQ_LIMIT"}, status=429, headers={"Retry-After": "200"})

    app = web.Application()
    app.router.add_get("/{path:.*}", say)
    with served(app) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.STUB_FEED_URL", url)
        due_poll()
        assert 195 < wait() <= 200
        state.refresh_from_db()
        assert (state.status, state.consecutive_errors, state.failed_requests) == ("active", 0, 1)
        assert due_poll().problem.startswith("the account's requests per minute are used up")  # nor does another slot
        assert len(seen) == 1
        polling.stop_poller()


def test_a_bad_key_is_not_retried_and_says_why(state: ProviderState, stub_feed: StubFeed) -> None:
    stub_feed("401")
    due_poll()
    state.refresh_from_db()
    assert (state.last_error, state.total_requests) == ("HTTP 401: INVALID_KEY API key is not valid", 1)


def test_a_401_can_mean_that_the_quota_is_used_up(state: ProviderState, settings: Settings) -> None:
    async def say(request: web.Request) -> web.Response:
        body = {"error_code": "OUT_OF_USAGE_CREDITS", "message": "Usage quota has been reached."}
        return web.json_response(body, status=401)

    app = web.Application()
    app.router.add_get("/{path:.*}", say)
    with served(app) as url:
        settings.STUB_FEED_URL = url
        due_poll()
        polling.stop_poller()
    assert FetchAttempt.objects.get().outcome == "out_of_quota"


def flaky(failures: int) -> web.Application:
    """Fails so many times, then answers."""
    count = [0]

    async def say(request: web.Request) -> web.Response:
        count[0] += 1
        return web.Response(status=503) if count[0] <= failures else web.json_response([event()])

    app = web.Application()
    app.router.add_get("/{path:.*}", say)
    return app


@pytest.mark.parametrize(("failures", "is_good", "calls"), [(1, True, 2), (2, True, 3), (3, False, 3)])
def test_it_retries_as_often_as_allowed(
    failures: int, is_good: bool, calls: int, state: ProviderState, settings: Settings
) -> None:
    ProviderState.objects.filter(pk=state.pk).update(max_retries=2)
    operations.disable([], actor=SYSTEM)
    with served(flaky(failures)) as url:
        settings.STUB_FEED_URL = url
        assert due_poll().is_good == is_good
        polling.stop_poller()
    assert FetchAttempt.objects.count() == calls
    state.refresh_from_db()
    assert (state.total_requests, state.consecutive_errors) == (calls, 0 if is_good else 1)


def test_a_retry_stays_inside_the_time_out(
    state: ProviderState, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.fetch.retry_delay", lambda attempt, dice: 20.0)
    with served(flaky(1)) as url:
        settings.STUB_FEED_URL = url
        assert not due_poll().is_good
        polling.stop_poller()
    assert FetchAttempt.objects.count() == 1


def test_the_interval_stretches_while_the_month_would_not_last(state: ProviderState, settings: Settings) -> None:
    left = ["1000"]

    async def say(request: web.Request) -> web.Response:
        quota = {"x-requests-remaining": left[0], "x-requests-last": "3"}
        return web.json_response([event()], headers=quota)

    app = web.Application()
    app.router.add_get("/{path:.*}", say)
    with served(app) as url:
        settings.STUB_FEED_URL = url
        due_poll()
        rest = 31 * 86400
        assert 300 < slot().effective_interval_seconds <= 300 * (3 / 300) * rest / 1000
        assert slot().interval_seconds == 300
        state.refresh_from_db()
        assert state.poll_interval_seconds == 300  # the operator's value stays
        assert wait() <= 1.5 * slot().effective_interval_seconds
        left[0] = "100000000"
        due_poll()
        assert slot().effective_interval_seconds == 300
        polling.stop_poller()


def test_slots_of_one_account_share_what_is_left(fleet: None, settings: Settings) -> None:
    async def say(request: web.Request) -> web.Response:
        return web.json_response([event()], headers={"x-requests-remaining": "1000", "x-requests-last": "3"})

    app = web.Application()
    app.router.add_get("/{path:.*}", say)
    with served(app) as url:
        settings.STUB_FEED_URL = url
        due_poll()
        alone = slot().effective_interval_seconds
        PollSlot.objects.filter(base_url="").exclude(sport="NBA").update(credits_per_poll=3)
        due_poll()
        assert slot().effective_interval_seconds == pytest.approx(4 * alone, rel=0.01)
        polling.stop_poller()


def test_when_half_the_fleet_fails_there_is_one_alert(fleet: None, told: list[notify.Event]) -> None:
    stub = ProviderState.objects.filter(provider="stub")
    ProviderState.objects.filter(is_enabled=True).update(last_fetch_attempt=Now())
    stub.update(consecutive_errors=1)
    watch_fleet()
    assert told == []  # 4 of 12
    ProviderState.objects.filter(provider="fanduel").update(consecutive_errors=1)
    for _ in range(3):
        watch_fleet()
    message = "8 of 12 provider states fail at once: look on our side first"
    assert told == [notify.Event("our_side", "fleet", message, ANY)]
    stub.update(consecutive_errors=0)
    watch_fleet()
    assert len(told) == 1  # 4 of 12 is not well yet
    ProviderState.objects.filter(provider="fanduel", sport="NBA").update(consecutive_errors=0)
    for _ in range(3):
        watch_fleet()
    assert len(told) == 2
    assert "no longer" in told[1].message


def test_a_return_to_service_starts_anew(state: ProviderState, stub_feed: StubFeed) -> None:
    ProviderState.objects.filter(pk=state.pk).update(consecutive_errors=7, status="error")
    PollSlot.objects.filter(base_url="", sport="NBA").update(backoff_level=3)
    operations.set_maintenance([state.pk], actor=SYSTEM)
    operations.return_to_service([state.pk], actor=SYSTEM)
    assert slot().backoff_level == 0
    stub_feed("500")
    due_poll()
    state.refresh_from_db()
    assert (state.status, state.consecutive_errors) == ("inactive", 1)


def test_poll_by_hand_leaves_the_schedule(state: ProviderState, stub_feed: StubFeed) -> None:
    PollSlot.objects.filter(base_url="", sport="NBA").update(next_poll_at=Now() + timedelta(minutes=4))
    before = slot().next_poll_at
    stub_feed()
    poll()
    assert slot().next_poll_at == before


@pytest.mark.parametrize(("interval", "expected"), [(30, 0), (100, 50), (300, 250)])
def test_a_new_interval_counts_from_the_last_poll(state: ProviderState, interval: int, expected: int) -> None:
    """Polled 50 s ago at an interval of 60 s."""
    PollSlot.objects.filter(base_url="", sport="NBA").update(
        next_poll_at=Now() + timedelta(seconds=10), interval_seconds=60, effective_interval_seconds=60
    )
    state.poll_interval_seconds = interval
    operations.save(state, actor=SYSTEM)
    assert wait() == pytest.approx(expected, abs=2)
    assert slot().effective_interval_seconds == interval


def test_a_new_interval_is_the_longest_wait(state: ProviderState) -> None:
    """A first poll, off the grid, may be followed after one and a half intervals."""
    PollSlot.objects.filter(base_url="", sport="NBA").update(next_poll_at=Now() + timedelta(seconds=440))
    state.poll_interval_seconds = 30
    operations.save(state, actor=SYSTEM)
    assert wait() <= 30
