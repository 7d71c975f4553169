"""Sportradar Odds Comparison v2: a competition's markets in one call, players' markets in one per game soon to start.

Source: developer.sportradar.com/odds (prematch, player props). The key goes in a header. A base URL that ends in
`/trial` asks with a trial key. Gateway errors come as HTML, with status 403 or 596.
"""

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from providers.adapters.fields import each
from providers.adapters.sportradar_shapes import Board, Body, Props, in_order, lines_of
from providers.polling.caller import Caller
from providers.polling.messages import PLAYERS_AHEAD, Answer, Claim, distinct

COMPETITIONS = {
    "MLB": "sr:competition:109",
    "NBA": "sr:competition:132",
    "NFL": "sr:competition:31",
    "NHL": "sr:competition:234",
}
PAGE = 50
PAGES = 6


async def poll(claim: Claim, caller: Caller) -> Answer:
    """Ask for a competition's markets, then for players'. Raises CallFailed when the first could not be had."""
    root = urlsplit(caller.base_url)
    level = root.path.strip("/") or "production"
    caller.base_url = f"{root.scheme}://{root.netloc}"
    caller.headers = {"x-api-key": caller.secret, "Accept": "application/json"}
    boards = await _boards(caller, f"/oddscomparison-prematch/{level}/v2/en/competitions/{COMPETITIONS[claim.sport]}")
    soon = [board.sport_event.id for board in boards if board.sport_event.starts_at() < _horizon()]

    async def players_of(event: str) -> tuple[str, Props]:
        path = f"/oddscomparison-player-props/{level}/v2/en/sport_events/{event}/players_props.json"
        return event, await caller.get(path, {}, Props)

    answer = combine(boards, await each(players_of, soon))
    is_cut = len(boards) >= PAGE * PAGES  # then nothing can be said of games that are missing
    return replace(answer, listed=frozenset()) if is_cut else answer


def _horizon() -> datetime:
    return datetime.now(UTC) + PLAYERS_AHEAD


async def _boards(caller: Caller, competition: str) -> list[Board]:
    boards: list[Board] = []
    for _ in range(PAGES):
        page = {"start": str(len(boards)), "limit": str(PAGE)}
        found = (await caller.get(f"{competition}/sport_event_markets.json", page, Body)).boards()
        boards += found
        if len(found) < PAGE:
            break
    return boards


def combine(boards: list[Board], props: list[tuple[str, Props]]) -> Answer:
    lines = [line for board in boards for line in lines_of(board.sport_event.id, "", board.markets)]
    for event, answer in props:
        for found in answer.sport_event_players_props.players_props:
            lines += lines_of(event, in_order(found.player.name), found.markets)
    games = {board.sport_event.id: board.sport_event.game() for board in boards}
    return Answer(
        games=tuple(games.values()),
        lines=distinct(lines),
        listed=frozenset(games),
        offered=frozenset(board.sport_event.id for board in boards if board.markets),
        player_offered=frozenset(event for event, answer in props if answer.sport_event_players_props.players_props),
    )
