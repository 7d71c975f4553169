"""The stub feed: an HTTP server that speaks The Odds API v4, and serves a synthetic season of box scores."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from providers.stub.faults import FAULT_PATH, Fault, FaultState, error_response, fault_middleware, hold_fault
from providers.stub.game_logs import game_logs
from providers.stub.world import BOOKS, BY_KEY, GAME_MARKETS, Game, GameOffers, Roster, event_document, list_games

PAGE_ROWS = 500  # box scores in one answer
SEED = 7
MONTHLY_QUOTA = 50_000_000  # credits; enough for the whole catalogue at 30 s, so that no interval is stretched


class StubFeed:
    """The upstream's routes, and the credits that each API key has used."""

    def __init__(self, seed: int, quota: int) -> None:
        self.seed, self.quota = seed, quota
        self.used: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v4/sports", self.sports),
            web.get("/v4/sports/{sport}/events", self.events),
            web.get("/v4/sports/{sport}/odds", self.odds),
            web.get("/v4/sports/{sport}/events/{event}/odds", self.event_odds),
            web.get("/stub/v1/gamelogs", self.game_logs),
        ]

    async def sports(self, request: web.Request) -> web.Response:
        listed = [
            {"key": roster.key, "group": roster.title, "title": roster.title, "active": True, "has_outrights": False}
            for roster in BY_KEY.values()
        ]
        return self._respond(request, listed, cost=0)

    async def events(self, request: web.Request) -> web.Response:
        roster, now = _requested_roster(request), datetime.now(UTC)
        games = list_games(roster, self.seed, now)
        listed = [event_document(roster, game, unix=_wants_unix_times(request)) for game in games]
        return self._respond(request, listed, cost=0)

    async def odds(self, request: web.Request) -> web.Response:
        roster, now = _requested_roster(request), datetime.now(UTC)
        markets = _requested_markets(request, GAME_MARKETS)
        listed = [self._offers(request, roster, game, now, markets) for game in list_games(roster, self.seed, now)]
        return self._respond(request, listed, cost=len(markets))

    async def event_odds(self, request: web.Request) -> web.Response:
        roster, now = _requested_roster(request), datetime.now(UTC)
        markets = _requested_markets(request, (*GAME_MARKETS, *roster.props))
        for game in list_games(roster, self.seed, now):
            if game.id == request.match_info["event"]:
                return self._respond(request, self._offers(request, roster, game, now, markets), cost=len(markets))
        raise _http_error(404, "EVENT_NOT_FOUND", "Event not found. The event may have expired or is not valid")

    async def game_logs(self, request: web.Request) -> web.Response:
        """Return a page of the season: `?sport=NBA`, optionally with `&since=2026-01-31` and `&page=2`.

        `next_page` is null on the last page.
        """
        sport, today = request.query.get("sport", "").upper(), datetime.now(UTC).date()
        try:
            since, page = request.query.get("since"), int(request.query.get("page", 1))
            logs = game_logs(sport, self.seed, today, date.fromisoformat(since) if since else None)
        except KeyError:
            raise _http_error(404, "UNKNOWN_SPORT", "Unknown sport") from None
        except ValueError:
            raise _http_error(422, "INVALID_PARAMETER", "since must be a date, page a number") from None
        first = (max(1, page) - 1) * PAGE_ROWS
        answer = {
            "sport": sport,
            "source": "stub",
            "seed": self.seed,
            "logs": logs[first : first + PAGE_ROWS],
            "next_page": page + 1 if first + PAGE_ROWS < len(logs) else None,
            "total": len(logs),
        }
        return self._respond(request, answer, cost=0)

    def _offers(
        self, request: web.Request, roster: Roster, game: Game, now: datetime, markets: list[str]
    ) -> dict[str, Any]:
        requested = request.query.get("bookmakers", "")
        books = [book for book in BOOKS if not requested or book in requested.split(",")]
        offers = GameOffers(roster, game, self.seed, now).bookmakers(markets, books)
        return event_document(roster, game, unix=_wants_unix_times(request)) | {"bookmakers": offers}

    def _respond(self, request: web.Request, body: Any, *, cost: int) -> web.Response:
        """Return the answer, and charge its cost in credits to the API key of the request."""
        key = request.query.get("apiKey", "")
        self.used[key] += cost
        headers = {
            "x-requests-last": str(cost),
            "x-requests-used": str(self.used[key]),
            "x-requests-remaining": str(max(0, self.quota - self.used[key])),
        }
        return web.Response(body=msgspec.json.encode(body), content_type="application/json", headers=headers)


def _wants_unix_times(request: web.Request) -> bool:
    return request.query.get("dateFormat") == "unix"


def _requested_roster(request: web.Request) -> Roster:
    try:
        return BY_KEY[request.match_info["sport"]]
    except KeyError:
        raise _http_error(404, "UNKNOWN_SPORT", "Unknown sport") from None


def _requested_markets(request: web.Request, allowed: tuple[str, ...]) -> list[str]:
    markets = request.query.get("markets", "h2h").split(",")
    invalid = [market for market in markets if market not in allowed]
    if invalid:
        raise _http_error(422, "INVALID_MARKET", f"Invalid markets: {', '.join(invalid)}")
    return markets


def _http_error(status: int, code: str, message: str) -> web.HTTPException:
    """Return the error as an exception of aiohttp, with a body in the upstream's format."""
    answer = error_response(status, code, message)
    classes = {404: web.HTTPNotFound, 422: web.HTTPUnprocessableEntity}
    return classes[status](text=answer.text, content_type="application/json")


def make_app(seed: int, fault: Fault | None = None, *, quota: int = MONTHLY_QUOTA) -> web.Application:
    """Return the stub feed as an application. quota: credits of each API key."""
    state = FaultState(fault)
    app = web.Application(middlewares=[fault_middleware(state, seed)])
    app.add_routes(StubFeed(seed, quota).routes())
    app.router.add_post(FAULT_PATH, partial(hold_fault, state=state))
    return app


@contextmanager
def served(app: web.Application) -> Iterator[str]:
    """Serve an application on a free port of this machine from a thread. Yield its address."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)

    async def start() -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def stop() -> None:
        await runner.cleanup()
        requests = asyncio.all_tasks() - {asyncio.current_task()}  # those that a fault keeps from ending
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    url = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
