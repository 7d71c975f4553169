"""Sportradar Odds Comparison v2: one call returns a competition's markets, one call per game its player markets.

Player markets are requested for the games that start soon. Source: developer.sportradar.com/odds (prematch, player
props). A header carries the key. A base URL that ends in `/trial` is for a trial key. The gateway sends its errors as
HTML, with HTTP status 403 or 596.
"""

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from providers.adapters import Upstream
from providers.adapters.fields import call_each
from providers.adapters.sportradar_shapes import (
    EventMarkets,
    MarketsAnswer,
    PlayerPropsAnswer,
    in_name_order,
    market_lines,
)
from providers.upstream.caller import Caller
from providers.upstream.messages import PLAYERS_AHEAD, Answer, Claim, distinct

COMPETITIONS = {
    "MLB": "sr:competition:109",
    "NBA": "sr:competition:132",
    "NFL": "sr:competition:31",
    "NHL": "sr:competition:234",
}
PAGE = 50  # games
PAGES = 6


async def poll(claim: Claim, caller: Caller) -> Answer:
    """Request a competition's markets, then the player markets. Raises CallFailed if the first did not come."""
    root = urlsplit(caller.base_url)
    level = root.path.strip("/") or "production"
    caller.base_url = f"{root.scheme}://{root.netloc}"
    caller.headers = {"x-api-key": caller.secret, "Accept": "application/json"}
    competition = f"/oddscomparison-prematch/{level}/v2/en/competitions/{COMPETITIONS[claim.sport]}"
    games = await _request_games(caller, competition)
    until = datetime.now(UTC) + PLAYERS_AHEAD
    soon = [game.sport_event.id for game in games if game.sport_event.starts_at() < until]

    async def request_players(event: str) -> tuple[str, PlayerPropsAnswer]:
        path = f"/oddscomparison-player-props/{level}/v2/en/sport_events/{event}/players_props.json"
        return event, await caller.get(path, {}, PlayerPropsAnswer)

    answer = combine(games, await call_each(request_players, soon))
    if len(games) >= PAGE * PAGES:  # the list was cut: a game that is not in it may still be offered
        return replace(answer, listed=frozenset())
    return answer


async def _request_games(caller: Caller, competition: str) -> list[EventMarkets]:
    games: list[EventMarkets] = []
    for _ in range(PAGES):
        params = {"start": str(len(games)), "limit": str(PAGE)}
        answer = await caller.get(f"{competition}/sport_event_markets.json", params, MarketsAnswer)
        page = answer.games()
        games += page
        if len(page) < PAGE:
            break
    return games


def combine(games: list[EventMarkets], props: list[tuple[str, PlayerPropsAnswer]]) -> Answer:
    """Return the answer of a poll.

    games: the games with their markets.
    props: the player markets by the id of their game, for each game whose own call succeeded.
    """
    lines = [line for game in games for line in market_lines(game.sport_event.id, "", game.markets)]
    for event, answer in props:
        for of_player in answer.sport_event_players_props.players_props:
            lines += market_lines(event, in_name_order(of_player.player.name), of_player.markets)
    by_id = {game.sport_event.id: game.sport_event.game() for game in games}
    return Answer(
        games=tuple(by_id.values()),
        lines=distinct(lines),
        listed=frozenset(by_id),
        offered=frozenset(game.sport_event.id for game in games if game.markets),
        player_offered=frozenset(event for event, answer in props if answer.sport_event_players_props.players_props),
    )


UPSTREAM = Upstream(COMPETITIONS, poll)
