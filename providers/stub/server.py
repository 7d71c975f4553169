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

from providers.stub.faults import CONTROL, Fault, Mood, hold, misbehave, refusal
from providers.stub.game_logs import game_logs
from providers.stub.world import BOOKS, BY_KEY, GAME_MARKETS, Board, Game, Roster, event, games

PAGE = 500
SEED = 7
MONTHLY_QUOTA = 50_000_000  # enough for the whole catalogue at 30 s, so that no interval stretches


class StubFeed:
    def __init__(self, seed: int, quota: int) -> None:
        self.seed, self.quota = seed, quota
        self.used: Counter[str] = Counter()  # credits, by key

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
        return self._answer(request, listed, cost=0)

    async def events(self, request: web.Request) -> web.Response:
        roster, now = _roster(request), datetime.now(UTC)
        unix = request.query.get("dateFormat") == "unix"
        listed = [event(roster, game, unix=unix) for game in games(roster, self.seed, now)]
        return self._answer(request, listed, cost=0)

    async def odds(self, request: web.Request) -> web.Response:
        roster, now = _roster(request), datetime.now(UTC)
        markets = _markets(request, GAME_MARKETS)
        listed = [self._board(request, roster, game, now, markets) for game in games(roster, self.seed, now)]
        return self._answer(request, listed, cost=len(markets))

    async def event_odds(self, request: web.Request) -> web.Response:
        roster, now = _roster(request), datetime.now(UTC)
        markets = _markets(request, (*GAME_MARKETS, *roster.props))
        for game in games(roster, self.seed, now):
            if game.id == request.match_info["event"]:
                return self._answer(request, self._board(request, roster, game, now, markets), cost=len(markets))
        raise _refused(404, "EVENT_NOT_FOUND", "Event not found. The event may have expired or is not valid")

    async def game_logs(self, request: web.Request) -> web.Response:
        """`?sport=NBA`, with `&since=2026-01-31` and `&page=2` where wanted. `next_page` is null on the last one."""
        sport, today = request.query.get("sport", "").upper(), datetime.now(UTC).date()
        try:
            since, page = request.query.get("since"), int(request.query.get("page", 1))
            logs = game_logs(sport, self.seed, today, date.fromisoformat(since) if since else None)
        except KeyError:
            raise _refused(404, "UNKNOWN_SPORT", "Unknown sport") from None
        except ValueError:
            raise _refused(422, "INVALID_PARAMETER", "since is a date, page a number") from None
        first = (max(1, page) - 1) * PAGE
        following = page + 1 if first + PAGE < len(logs) else None
        answer = {"sport": sport, "source": "stub", "seed": self.seed, "logs": logs[first : first + PAGE]}
        return self._answer(request, answer | {"next_page": following, "total": len(logs)}, cost=0)

    def _board(
        self, request: web.Request, roster: Roster, game: Game, now: datetime, markets: list[str]
    ) -> dict[str, Any]:
        wanted = request.query.get("bookmakers", "")
        books = [key for key in BOOKS if not wanted or key in wanted.split(",")]
        offers = Board(roster, game, self.seed, now).bookmakers(markets, books)
        return event(roster, game, unix=request.query.get("dateFormat") == "unix") | {"bookmakers": offers}

    def _answer(self, request: web.Request, body: Any, *, cost: int) -> web.Response:
        key = request.query.get("apiKey", "")
        self.used[key] += cost
        quota = {"x-requests-last": cost, "x-requests-used": self.used[key]}
        quota["x-requests-remaining"] = max(0, self.quota - self.used[key])
        headers = {name: str(value) for name, value in quota.items()}
        return web.Response(body=msgspec.json.encode(body), content_type="application/json", headers=headers)


def _roster(request: web.Request) -> Roster:
    try:
        return BY_KEY[request.match_info["sport"]]
    except KeyError:
        raise _refused(404, "UNKNOWN_SPORT", "Unknown sport") from None


def _markets(request: web.Request, allowed: tuple[str, ...]) -> list[str]:
    markets = request.query.get("markets", "h2h").split(",")
    if wrong := [market for market in markets if market not in allowed]:
        raise _refused(422, "INVALID_MARKET", f"Invalid markets: {', '.join(wrong)}")
    return markets


def _refused(status: int, code: str, message: str) -> web.HTTPException:
    """aiohttp's own errors are exceptions; ours carries the upstream's JSON body."""
    answer = refusal(status, code, message)
    classes = {404: web.HTTPNotFound, 422: web.HTTPUnprocessableEntity}
    return classes[status](text=answer.text, content_type="application/json")


def make_app(seed: int, fault: Fault | None = None, *, quota: int = MONTHLY_QUOTA) -> web.Application:
    mood = Mood(fault)
    app = web.Application(middlewares=[misbehave(mood, seed)])
    app.add_routes(StubFeed(seed, quota).routes())
    app.router.add_post(CONTROL, partial(hold, mood=mood))
    return app


@contextmanager
def served(app: web.Application) -> Iterator[str]:
    """Serve an application on a free port of this machine, from a thread; yields its address."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)

    async def start() -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    url = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
