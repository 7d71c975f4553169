"""The Odds API v4: one call lists the games with their lines, one call per game returns its player lines.

Player lines are requested for the games that start soon. A call costs its markets times its regions, in credits.
Source: the-odds-api.com/liveapi/guides/v4.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from providers.adapters import Upstream
from providers.adapters.fields import BookKey, Id, Moment, Name, call_each
from providers.upstream.caller import Caller
from providers.upstream.messages import PLAYERS_AHEAD, Answer, Claim, Game, Line, distinct

SPORT_KEYS = {"MLB": "baseball_mlb", "NBA": "basketball_nba", "NFL": "americanfootball_nfl", "NHL": "icehockey_nhl"}
GAME_MARKETS = "h2h,spreads,totals"
PLAYER_MARKETS = {
    "MLB": "batter_hits,batter_total_bases,batter_rbis,batter_runs_scored",
    "NBA": "player_points,player_rebounds,player_assists,player_threes",
    "NFL": "player_pass_yds,player_rush_yds,player_receptions,player_pass_tds",
    "NHL": "player_points,player_assists,player_shots_on_goal,player_blocked_shots",
}
# A provider with one of these names is that bookmaker, and is requested by name. Any other provider gets all of them.
BOOKMAKERS = frozenset(
    """ballybet barstool betmgm betonlineag betparx betrivers betus bovada draftkings espnbet fanatics fanduel fliff
    hardrockbet lowvig mybookieag pointsbetus superbook unibet_us williamhill_us wynnbet""".split()  # noqa: SIM905
)
UnixSeconds = Annotated[int, Meta(ge=0, le=4102444800)]  # to the year 2100


class OddsOutcome(Struct):
    name: Name
    price: float
    point: float | None = None
    description: Name | None = None


class OddsMarket(Struct):
    key: Id
    outcomes: list[OddsOutcome]


class OddsBookmaker(Struct):
    key: BookKey
    markets: list[OddsMarket]


class ListedEvent(Struct):
    """A game without odds, as in the lists of events and scores."""

    id: Id
    home_team: Name | None
    away_team: Name | None
    commence_time: Moment | UnixSeconds  # an integer with dateFormat=unix

    @property
    def starts_at(self) -> datetime:
        start = self.commence_time
        return datetime.fromtimestamp(start, UTC) if isinstance(start, int) else start


class OddsEvent(ListedEvent):
    """A game with its odds."""

    bookmakers: list[OddsBookmaker]


async def poll(claim: Claim, caller: Caller) -> Answer:
    """Request the lines of all members in shared calls. Raises CallFailed if the list of games did not come."""
    base = f"/v4/sports/{SPORT_KEYS[claim.sport]}"
    params = {"regions": "us", "oddsFormat": "american"}
    if caller.secret:
        params["apiKey"] = caller.secret
    if claim.members.keys() <= BOOKMAKERS:
        params["bookmakers"] = ",".join(sorted(claim.members))
    events = await caller.get(f"{base}/odds", params | {"markets": GAME_MARKETS}, list[OddsEvent])
    now = datetime.now(UTC)
    soon = [event for event in events if event.starts_at < now + PLAYERS_AHEAD]

    async def request_players(event: OddsEvent) -> OddsEvent:
        path, markets = f"{base}/events/{event.id}/odds", {"markets": PLAYER_MARKETS[claim.sport]}
        return await caller.get(path, params | markets, OddsEvent)

    return combine(events, await call_each(request_players, soon))


def combine(events: list[OddsEvent], with_players: list[OddsEvent]) -> Answer:
    """Return the answer of a poll.

    events: the list of games with their lines.
    with_players: the games whose own calls succeeded, with their player lines.
    """
    games = {
        event.id: Game(event.id, event.home_team or "", event.away_team or "", event.starts_at) for event in events
    }
    return Answer(
        games=tuple(games.values()),
        lines=distinct(line for event in (*events, *with_players) for line in lines_of(event)),
        listed=frozenset(event.id for event in events),
        offered=frozenset(event.id for event in events if event.bookmakers),
        player_offered=frozenset(event.id for event in with_players if event.bookmakers),
    )


def lines_of(event: OddsEvent) -> Iterator[Line]:
    for book in event.bookmakers:
        for market in book.markets:
            for outcome in market.outcomes:
                player = outcome.description or ""
                yield Line(event.id, book.key, market.key, player, outcome.name, outcome.point, outcome.price)


UPSTREAM = Upstream(SPORT_KEYS, poll, BOOKMAKERS)
