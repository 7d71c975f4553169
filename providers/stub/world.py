"""The stub feed's world: made-up games and prices in the shape of The Odds API v4. A pure function of seed and time.

Nothing here is a measurement. Whatever is computed from it is labelled `stub`.
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
    key: str  # the upstream's name of the sport
    title: str
    total: tuple[float, float]  # of both teams' scores: mean, deviation between games
    props: dict[str, tuple[float, float]]  # player market: mean, deviation between players
    teams: dict[str, tuple[str, ...]]


ROSTERS = msgspec.json.decode(Path(__file__).with_name("rosters.json").read_bytes(), type=dict[str, Roster])
BY_KEY = {roster.key: roster for roster in ROSTERS.values()}
BOOKS = {"draftkings": "DraftKings", "fanduel": "FanDuel", "betmgm": "BetMGM"}
GAME_MARKETS = ("h2h", "spreads", "totals")
DAYS = 2
STARTS = (time(17), time(20), time(23, 30))
LISTED_AFTER_START = timedelta(hours=3)
MOVE_SECONDS = 30  # prices stand still for so long
MARGIN = 0.045  # what both sides' probabilities add up to above 1


@dataclass(frozen=True, slots=True)
class Game:
    id: str
    starts_at: datetime
    home: str
    away: str


def games(roster: Roster, seed: int, now: datetime) -> list[Game]:
    """Today's and the next days' games that are not over yet, by their start."""
    found = []
    for offset in range(-1, DAYS + 1):
        day = now.date() + timedelta(days=offset)
        teams = sorted(roster.teams)
        _random(seed, roster.key, day).shuffle(teams)
        for start, home, away in zip(STARTS, teams[::2], teams[1::2], strict=False):
            starts_at = datetime.combine(day, start, UTC)
            if starts_at + LISTED_AFTER_START > now:
                found.append(Game(_digest(seed, roster.key, day, home), starts_at, home, away))
    return found


@dataclass(frozen=True, slots=True)
class Board:
    """What every bookmaker offers on one game at one moment."""

    roster: Roster
    game: Game
    seed: int
    now: datetime

    def bookmakers(self, markets: list[str], wanted: list[str]) -> list[dict[str, Any]]:
        """As the upstream's `bookmakers`; those that offer none of the markets are left out."""
        moved = self.now.timestamp() // MOVE_SECONDS * MOVE_SECONDS
        updated = _iso(datetime.fromtimestamp(moved, UTC))
        offers = []
        for key in wanted:
            outcomes = {market: list(self._outcomes(key, market)) for market in markets}
            listed = [
                {"key": market, "last_update": updated, "outcomes": found}
                for market, found in outcomes.items()
                if found
            ]
            if listed:
                offers.append({"key": key, "title": BOOKS[key], "last_update": updated, "markets": listed})
        return offers

    def _outcomes(self, book: str, market: str) -> Iterator[dict[str, Any]]:
        home, away, rng = self.game.home, self.game.away, _random(self.seed, self.game.id, market)
        if market == "h2h":
            yield from self._sides(book, market, (home, {}), (away, {}), lean=rng.gauss(0, 0.15))
        elif market == "spreads":
            point = math.floor(rng.gauss(0, 4)) + 0.5
            yield from self._sides(book, market, (home, {"point": point}), (away, {"point": -point}))
        elif market == "totals":
            total = {"point": math.floor(rng.gauss(*self.roster.total)) + 0.5}
            yield from self._sides(book, market, ("Over", total), ("Under", total))
        elif market in self.roster.props:
            for player in self.roster.teams[home] + self.roster.teams[away]:
                own = _random(self.seed, player, market)
                mean, deviation = self.roster.props[market]
                of_player = {"description": player, "point": max(0, math.floor(own.gauss(mean, deviation))) + 0.5}
                yield from self._sides(book, market + player, ("Over", of_player), ("Under", of_player))

    def _sides(
        self, book: str, name: str, one: tuple[str, dict[str, Any]], two: tuple[str, dict[str, Any]], lean: float = 0.0
    ) -> Iterator[dict[str, Any]]:
        rng = _random(self.seed, self.game.id, book, name)
        share = min(0.9, max(0.1, 0.5 + lean + rng.gauss(0, 0.02) + self._drift(rng)))
        for (side, more), probability in ((one, share), (two, 1 - share)):
            yield {"name": side, "price": american(probability + MARGIN / 2), **more}

    def _drift(self, rng: random.Random) -> float:
        """A slow wandering, the same for whoever asks at this moment."""
        step = self.now.timestamp() // MOVE_SECONDS
        return sum(0.02 * math.sin(step / period + rng.uniform(0, math.tau)) for period in (7, 31))


def american(probability: float) -> int:
    """A probability as an American price, rounded to 5."""
    odds = -100 * probability / (1 - probability) if probability >= 0.5 else 100 * (1 - probability) / probability
    return 5 * round(odds / 5)


def event(roster: Roster, game: Game, *, unix: bool = False) -> dict[str, Any]:
    start = int(game.starts_at.timestamp()) if unix else _iso(game.starts_at)
    head = {"id": game.id, "sport_key": roster.key, "sport_title": roster.title, "commence_time": start}
    return head | {"home_team": game.home, "away_team": game.away}


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _random(*parts: object) -> random.Random:
    return random.Random(":".join(map(str, parts)))  # noqa: S311 - to be repeatable is the point


def _digest(*parts: object) -> str:
    return hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=16).hexdigest()
