"""The Odds API v4: one call lists the games with their lines, one more per game soon to start brings the players'.

Source: the-odds-api.com/liveapi/guides/v4. A call costs as many credits as it asks for markets and regions.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from providers.adapters.fields import BookKey, Id, Moment, Name, each
from providers.polling.caller import Caller
from providers.polling.messages import PLAYERS_AHEAD, Answer, Claim, Game, Line, distinct

SPORT_KEYS = {"MLB": "baseball_mlb", "NBA": "basketball_nba", "NFL": "americanfootball_nfl", "NHL": "icehockey_nhl"}
GAME_MARKETS = "h2h,spreads,totals"
PLAYER_MARKETS = {
    "MLB": "batter_hits,batter_total_bases,batter_rbis,batter_runs_scored",
    "NBA": "player_points,player_rebounds,player_assists,player_threes",
    "NFL": "player_pass_yds,player_rush_yds,player_receptions,player_pass_tds",
    "NHL": "player_points,player_assists,player_shots_on_goal,player_blocked_shots",
}
# A provider of one of these names is that bookmaker, asked for by name; one of another name takes them all.
BOOKMAKERS = frozenset(
    """ballybet barstool betmgm betonlineag betparx betrivers betus bovada draftkings espnbet fanatics fanduel fliff
    hardrockbet lowvig mybookieag pointsbetus superbook unibet_us williamhill_us wynnbet""".split()  # noqa: SIM905
)
UnixSeconds = Annotated[int, Meta(ge=0, le=4102444800)]  # to the year 2100


class Outcome(Struct):
    name: Name
    price: float
    point: float | None = None
    description: Name | None = None


class Market(Struct):
    key: Id
    outcomes: list[Outcome]


class Bookmaker(Struct):
    key: BookKey
    markets: list[Market]


class Listed(Struct):
    """A game without odds, as the lists of events and scores have it."""

    id: Id
    home_team: Name | None
    away_team: Name | None
    commence_time: Moment | UnixSeconds  # an integer with dateFormat=unix

    @property
    def starts_at(self) -> datetime:
        start = self.commence_time
        return datetime.fromtimestamp(start, UTC) if isinstance(start, int) else start


class Event(Listed):
    bookmakers: list[Bookmaker]


async def poll(claim: Claim, caller: Caller) -> Answer:
    """Ask for all members' lines in shared calls. Raises CallFailed when the list of games could not be had."""
    base = f"/v4/sports/{SPORT_KEYS[claim.sport]}"
    params = {"regions": "us", "oddsFormat": "american"} | ({"apiKey": caller.secret} if caller.secret else {})
    if claim.members.keys() <= BOOKMAKERS:
        params["bookmakers"] = ",".join(sorted(claim.members))
    events = await caller.get(f"{base}/odds", params | {"markets": GAME_MARKETS}, list[Event])
    now = datetime.now(UTC)
    soon = [event for event in events if event.starts_at < now + PLAYERS_AHEAD]

    async def players_of(event: Event) -> Event:
        path, markets = f"{base}/events/{event.id}/odds", {"markets": PLAYER_MARKETS[claim.sport]}
        return await caller.get(path, params | markets, Event)

    return combine(events, await each(players_of, soon))


def is_of(line: Line, provider: str) -> bool:
    return provider not in BOOKMAKERS or line.bookmaker == provider


def combine(events: list[Event], with_players: list[Event]) -> Answer:
    lines = [line for event in (*events, *with_players) for line in lines_of(event)]
    return Answer(
        games=tuple({e.id: Game(e.id, e.home_team or "", e.away_team or "", e.starts_at) for e in events}.values()),
        lines=distinct(lines),
        listed=frozenset(event.id for event in events),
        offered=frozenset(event.id for event in events if event.bookmakers),
        player_offered=frozenset(event.id for event in with_players if event.bookmakers),
    )


def lines_of(event: Event) -> Iterator[Line]:
    for book in event.bookmakers:
        for market in book.markets:
            for outcome in market.outcomes:
                player = outcome.description or ""
                yield Line(event.id, book.key, market.key, player, outcome.name, outcome.point, outcome.price)
