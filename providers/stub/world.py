"""The stub feed's world: synthetic games and prices in the format of The Odds API v4. A pure function of seed and time.

Nothing here is a measurement. Every value that is computed from it is labeled `stub`.
"""

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import msgspec


class Roster(msgspec.Struct, frozen=True):
    """The teams and markets of one sport.

    key: the upstream's name of the sport.
    total: mean of both teams' scores together, and its deviation between games.
    props: for each player market the mean, and its deviation between players.
    teams: the players of each team.
    """

    key: str
    title: str
    total: tuple[float, float]
    props: dict[str, tuple[float, float]]
    teams: dict[str, tuple[str, ...]]


ROSTERS = msgspec.json.decode(Path(__file__).with_name("rosters.json").read_bytes(), type=dict[str, Roster])
BY_KEY = {roster.key: roster for roster in ROSTERS.values()}
BOOKS = {"draftkings": "DraftKings", "fanduel": "FanDuel", "betmgm": "BetMGM"}
GAME_MARKETS = ("h2h", "spreads", "totals")
DAYS = 2  # after today, whose games are listed
STARTS = (time(17), time(20), time(23, 30))  # UTC
LISTED_AFTER_START = timedelta(hours=3)
MOVE_SECONDS = 30  # for which a price stays the same
MARGIN = 0.045  # by which the probabilities of both sides add up to more than 1


@dataclass(frozen=True, slots=True)
class Game:
    """A game of two teams."""

    id: str
    starts_at: datetime
    home: str
    away: str


@dataclass(frozen=True, slots=True)
class Side:
    """A side of a bet. A player's line names the player; a line without a point is on the winner."""

    name: str
    point: float | None = None
    player: str | None = None


def list_games(roster: Roster, seed: int, now: datetime) -> list[Game]:
    """Return the games of today and the next days that are not over yet, in the order of their start."""
    listed = []
    for offset in range(-1, DAYS + 1):
        day = now.date() + timedelta(days=offset)
        teams = sorted(roster.teams)
        _random(seed, roster.key, day).shuffle(teams)
        for start, home, away in zip(STARTS, teams[::2], teams[1::2], strict=False):
            starts_at = datetime.combine(day, start, UTC)
            if starts_at + LISTED_AFTER_START > now:
                listed.append(Game(_digest(seed, roster.key, day, home), starts_at, home, away))
    return listed


@dataclass(frozen=True, slots=True)
class GameOffers:
    """The offers of all bookmakers on one game at one moment."""

    roster: Roster
    game: Game
    seed: int
    now: datetime

    def bookmakers(self, markets: list[str], books: list[str]) -> list[dict[str, Any]]:
        """Return the upstream's field `bookmakers`. A bookmaker that offers none of the markets is left out."""
        moved_at = self.now.timestamp() // MOVE_SECONDS * MOVE_SECONDS
        updated = _iso(datetime.fromtimestamp(moved_at, UTC))
        offers = []
        for book in books:
            outcomes = {market: list(self._outcomes(book, market)) for market in markets}
            listed = [
                {"key": market, "last_update": updated, "outcomes": offered}
                for market, offered in outcomes.items()
                if offered
            ]
            if listed:
                offers.append({"key": book, "title": BOOKS[book], "last_update": updated, "markets": listed})
        return offers

    def _outcomes(self, book: str, market: str) -> Iterator[dict[str, Any]]:
        home, away, rng = self.game.home, self.game.away, _random(self.seed, self.game.id, market)
        if market == "h2h":
            yield from self._price_sides(book, market, Side(home), Side(away), lean=rng.gauss(0, 0.15))
        elif market == "spreads":
            point = math.floor(rng.gauss(0, 4)) + 0.5
            yield from self._price_sides(book, market, Side(home, point), Side(away, -point))
        elif market == "totals":
            point = math.floor(rng.gauss(*self.roster.total)) + 0.5
            yield from self._price_sides(book, market, Side("Over", point), Side("Under", point))
        elif market in self.roster.props:
            for player in self.roster.teams[home] + self.roster.teams[away]:
                mean, deviation = self.roster.props[market]
                expected = math.floor(_random(self.seed, player, market).gauss(mean, deviation))
                point = max(0, expected) + 0.5
                over, under = Side("Over", point, player), Side("Under", point, player)
                yield from self._price_sides(book, market + player, over, under)

    def _price_sides(self, book: str, name: str, one: Side, two: Side, lean: float = 0.0) -> Iterator[dict[str, Any]]:
        """Yield both sides with their prices, as the upstream's outcomes.

        name: of the bet, for the random numbers.
        lean: by how much the probability of the first side is above one half.
        """
        rng = _random(self.seed, self.game.id, book, name)
        share = min(0.9, max(0.1, 0.5 + lean + rng.gauss(0, 0.02) + self._drift(rng)))
        for side, probability in ((one, share), (two, 1 - share)):
            outcome: dict[str, Any] = {"name": side.name, "price": american_price(probability + MARGIN / 2)}
            if side.player is not None:
                outcome["description"] = side.player
            if side.point is not None:
                outcome["point"] = side.point
            yield outcome

    def _drift(self, rng: random.Random) -> float:
        """Return how far a probability has wandered, the same for all callers at this moment."""
        step = self.now.timestamp() // MOVE_SECONDS
        return sum(0.02 * math.sin(step / period + rng.uniform(0, math.tau)) for period in (7, 31))


def american_price(probability: float) -> int:
    """Return the probability as an American price, rounded to 5."""
    odds = -100 * probability / (1 - probability) if probability >= 0.5 else 100 * (1 - probability) / probability
    return 5 * round(odds / 5)


def event_document(roster: Roster, game: Game, *, unix: bool = False) -> dict[str, Any]:
    """Return the game as the upstream's event. unix: write its start as a Unix time, not as ISO 8601."""
    start = int(game.starts_at.timestamp()) if unix else _iso(game.starts_at)
    return {
        "id": game.id,
        "sport_key": roster.key,
        "sport_title": roster.title,
        "commence_time": start,
        "home_team": game.home,
        "away_team": game.away,
    }


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _random(*parts: object) -> random.Random:
    return random.Random(":".join(map(str, parts)))  # noqa: S311 - these numbers have to be repeatable


def _digest(*parts: object) -> str:
    return hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=16).hexdigest()
