"""Polls by hand and by schedule, and feeds that answer as a test needs, for the tests of polling."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web
from django.db.models import F
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from providers import operations
from providers.fleet.backfill import Scope
from providers.models import PollSlot
from providers.polling.claims import claim_due
from providers.polling.poller import poller_of_this_process
from providers.upstream.messages import Poll

Handler = Callable[[web.Request], Awaitable[web.Response]]


def poll(provider: str = "stub", sport: str = "NBA") -> Poll:
    """Poll a slot by hand, from start to end."""
    [polled] = [future.result(30) for future in operations.poll_round(Scope(provider, sport), actor=SYSTEM)]
    assert polled.is_stored
    return polled.poll


def due_poll() -> Poll:
    """Make one scheduled poll of the stub's NBA slot, as a tick does."""
    PollSlot.objects.filter(base_url="", sport="NBA").update(next_poll_at=Now(), lease_until=None)
    claims = claim_due(scope=Scope("stub", "NBA"))
    [polled] = [future.result(30) for future in poller_of_this_process().dispatch(claims)]
    assert polled.is_stored
    return polled.poll


def slot() -> PollSlot:
    return PollSlot.objects.get(base_url="", sport="NBA")


def seconds_to_next_poll() -> float:
    row = PollSlot.objects.annotate(left=F("next_poll_at") - Now()).get(base_url="", sport="NBA")
    left: timedelta = row.left
    return left.total_seconds()


def event(**changes: object) -> dict[str, object]:
    """Return a game as The Odds API sends it, with changes."""
    in_2099: dict[str, object] = {
        "id": "x",
        "commence_time": "2099-01-01T00:00:00Z",
        "home_team": "H",
        "away_team": None,
        "bookmakers": [],
    }
    return in_2099 | changes


def feed(handler: Handler) -> web.Application:
    """Return a feed that answers every path with the handler."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    return app


def flaky_feed(failures: int) -> web.Application:
    """Return a feed whose first calls fail; every later one gets an answer."""
    requests: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        return web.Response(status=503) if len(requests) <= failures else web.json_response([event()])

    return feed(answer)
