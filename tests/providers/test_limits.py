"""The limits of an upstream: requests per minute, pauses that it asks for, credits of a month."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from django.db.models.functions import Now
from pytest_django import Settings

from core.access.actors import SYSTEM
from providers import operations
from providers.fleet.health import PollResult
from providers.models import FetchAttempt, PollSlot, Provider, ProviderState
from providers.polling import poller
from providers.stub.server import served
from tests.conftest import committed
from tests.providers.polls import due_poll, event, feed, flaky_feed, poll, seconds_to_next_poll, slot

pytestmark = committed
StubFeed = Callable[..., str]


def test_throttling_respects_retry_after_and_is_no_failure(state: ProviderState, stub_feed: StubFeed) -> None:
    ProviderState.objects.filter(pk=state.pk).update(poll_interval_seconds=30)
    operations.disable([], actor=SYSTEM)
    requests = []

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        return web.json_response({"error_code": "EXCEEDED_FREQ_LIMIT"}, status=429, headers={"Retry-After": "200"})

    with served(feed(answer)) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.STUB_FEED_URL", url)
        due_poll()
        assert 195 < seconds_to_next_poll() <= 200
        state.refresh_from_db()
        assert (state.status, state.consecutive_errors, state.failed_requests) == ("active", 0, 1)
        # The pause holds for the whole account.
        assert due_poll().problem.startswith("the account's requests per minute are used up")
        assert len(requests) == 1
        poller.stop_poller()


def test_a_401_can_mean_that_the_quota_is_used_up(state: ProviderState, settings: Settings) -> None:
    async def answer(request: web.Request) -> web.Response:
        body = {"error_code": "OUT_OF_USAGE_CREDITS", "message": "Usage quota has been reached."}
        return web.json_response(body, status=401)

    with served(feed(answer)) as url:
        settings.STUB_FEED_URL = url
        due_poll()
        poller.stop_poller()
    assert FetchAttempt.objects.get().outcome == "out_of_quota"


def test_the_interval_stretches_so_that_the_credits_last_the_month(state: ProviderState, settings: Settings) -> None:
    left = ["1000"]

    async def answer(request: web.Request) -> web.Response:
        quota = {"x-requests-remaining": left[0], "x-requests-last": "3"}
        return web.json_response([event()], headers=quota)

    with served(feed(answer)) as url:
        settings.STUB_FEED_URL = url
        due_poll()
        month = 31 * 86400
        assert 300 < slot().effective_interval_seconds <= 300 * (3 / 300) * month / 1000
        assert slot().interval_seconds == 300
        state.refresh_from_db()
        assert state.poll_interval_seconds == 300  # the operator's own value stays
        assert seconds_to_next_poll() <= 1.5 * slot().effective_interval_seconds
        left[0] = "100000000"
        due_poll()
        assert slot().effective_interval_seconds == 300
        poller.stop_poller()


def test_slots_of_one_account_share_the_credits_that_are_left(fleet: None, settings: Settings) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response([event()], headers={"x-requests-remaining": "1000", "x-requests-last": "3"})

    with served(feed(answer)) as url:
        settings.STUB_FEED_URL = url
        due_poll()
        alone = slot().effective_interval_seconds
        PollSlot.objects.filter(base_url="").exclude(sport="NBA").update(credits_per_poll=3)
        due_poll()
        assert slot().effective_interval_seconds == pytest.approx(4 * alone, rel=0.01)
        poller.stop_poller()


def test_waiting_for_the_rate_limit_is_not_the_upstreams_failure(
    state: ProviderState, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account's only token comes back in 60 s and the time-out is 10 s: no call is made, so none fails."""
    ProviderState.objects.filter(pk=state.pk).update(poll_interval_seconds=30)
    Provider.objects.filter(name="stub").update(requests_per_minute=1)
    operations.disable([], actor=SYSTEM)
    with served(flaky_feed(0)) as url:
        settings.STUB_FEED_URL = url
        assert due_poll().is_good
        done = due_poll()
        poller.stop_poller()
    assert (done.calls, done.result) == ((), PollResult.THROTTLED)
    assert done.problem.startswith("the account's requests per minute are used up for")
    state.refresh_from_db()
    assert (state.status, state.consecutive_errors, state.total_requests) == ("active", 0, 1)


def test_the_longest_retry_after_counts(state: ProviderState, settings: Settings) -> None:
    """Calls for several games are throttled at once, and only the first answer has a Retry-After."""
    throttled: list[str] = []
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

    async def answer(request: web.Request) -> web.Response:
        if "/events/" not in request.path:
            return web.json_response([event(id=f"game-{n}", commence_time=soon) for n in range(4)])
        throttled.append(request.path)
        headers = {"Retry-After": "900"} if len(throttled) == 1 else {}
        return web.json_response({}, status=429, headers=headers)

    with served(feed(answer)) as url:
        settings.STUB_FEED_URL = url
        done = due_poll()
        poller.stop_poller()
    assert (done.is_good, done.pause_seconds) == (True, 900)
    assert 895 < seconds_to_next_poll() <= 900


def test_a_retry_after_counts_for_the_schedule_of_a_poll_by_hand(state: ProviderState, settings: Settings) -> None:
    PollSlot.objects.filter(base_url="", sport="NBA").update(next_poll_at=Now() + timedelta(seconds=60))

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, status=429, headers={"Retry-After": "600"})

    with served(feed(answer)) as url:
        settings.STUB_FEED_URL = url
        poll()
        poller.stop_poller()
    assert seconds_to_next_poll() > 595


def test_a_refused_poll_does_not_change_the_known_cost(state: ProviderState, settings: Settings) -> None:
    status = [200]

    async def answer(request: web.Request) -> web.Response:
        quota = {"x-requests-remaining": "0", "x-requests-last": "3" if status[0] == 200 else "0"}
        body = [event()] if status[0] == 200 else {"error_code": "OUT_OF_USAGE_CREDITS"}
        return web.json_response(body, status=status[0], headers=quota)

    with served(feed(answer)) as url:
        settings.STUB_FEED_URL = url
        for status[0] in (200, 401):
            due_poll()
            assert slot().effective_interval_seconds > 3600
            assert slot().credits_per_poll == 3
        poller.stop_poller()
