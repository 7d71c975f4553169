"""A small upstream for the benchmarks: a process of its own that always returns the same answer of The Odds API."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from aiohttp import web

from providers.stub.world import ROSTERS, Game, GameOffers, event_document, list_games


def answer(count: int) -> bytes:
    """Return an answer with `count` games of next week, so that no call for player lines follows."""
    roster, now = ROSTERS["NBA"], datetime.now(UTC) + timedelta(days=7)
    markets, books = ["h2h", "spreads", "totals"], ["draftkings", "fanduel", "betmgm"]

    def offered(game: Game) -> dict[str, Any]:
        return event_document(roster, game) | {
            "bookmakers": GameOffers(roster, game, 7, now).bookmakers(markets, books)
        }

    return json.dumps([offered(game) for game in list_games(roster, 7, now)[:count]]).encode()


def main(port: int, count: int) -> None:
    body = answer(count)

    async def respond(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", respond)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
