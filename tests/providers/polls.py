"""Polls by hand and by schedule, for the tests of polling."""

from datetime import timedelta

from aiohttp import web
from django.db.models import F
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from providers import operations
from providers.fleet.backfill import Scope
from providers.models import PollSlot
from providers.polling import poller
from providers.polling.messages import Poll


def poll(provider: str = "stub", sport: str = "NBA") -> Poll:
    """One poll by hand, start to end."""
    [polled] = [future.result(30) for future in operations.poll_round(Scope(provider, sport), actor=SYSTEM)]
    assert polled.is_stored
    return polled.poll


def event(**changes: object) -> dict[str, object]:
    far: dict[str, object] = {
        "id": "x",
        "commence_time": "2099-01-01T00:00:00Z",
        "home_team": "H",
        "away_team": None,
        "bookmakers": [],
    }
    return far | changes


def due_poll() -> Poll:
    """One scheduled poll of the stub's NBA slot, as a tick makes it."""
    PollSlot.objects.filter(base_url="", sport="NBA").update(next_poll_at=Now(), lease_until=None)
    claims = poller.claim_due(scope=Scope("stub", "NBA"))
    [polled] = [future.result(30) for future in poller.poller().dispatch(claims)]
    assert polled.is_stored
    return polled.poll


def slot() -> PollSlot:
    return PollSlot.objects.get(base_url="", sport="NBA")


def wait() -> float:
    """Seconds until the slot's next poll."""
    found = PollSlot.objects.annotate(left=F("next_poll_at") - Now()).get(base_url="", sport="NBA")
    left: timedelta = found.left
    return left.total_seconds()


def flaky(failures: int) -> web.Application:
    """Fails so many times, then answers."""
    count = [0]

    async def say(request: web.Request) -> web.Response:
        count[0] += 1
        return web.Response(status=503) if count[0] <= failures else web.json_response([event()])

    app = web.Application()
    app.router.add_get("/{path:.*}", say)
    return app
