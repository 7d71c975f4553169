"""The shapes of Sportradar's answers, and how they become events and lines."""

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from msgspec import Struct, field

from providers.adapters.fields import BookKey, Id, Moment, Name
from providers.polling.messages import Game, Line

Number = str | float | None


class Outcome(Struct):
    type: Name
    odds_american: Number = None
    total: Number = None
    spread: Number = None
    handicap: Number = None
    removed: bool = False


class Book(Struct):
    name: BookKey
    outcomes: list[Outcome] = field(default_factory=list)
    removed: bool = False


class Market(Struct):
    name: Id
    books: list[Book] = field(default_factory=list)


class Competitor(Struct):
    name: Name
    qualifier: str = ""


class SportEvent(Struct):
    id: Id
    start_time: Moment | None = None
    scheduled: Moment | None = None  # what start_time was called before
    competitors: list[Competitor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.starts_at()

    def starts_at(self) -> datetime:
        start = self.start_time or self.scheduled
        if start is None:
            raise ValueError("an event without a start")
        return start

    def game(self) -> Game:
        names = {competitor.qualifier: competitor.name for competitor in self.competitors}
        return Game(self.id, names.get("home", ""), names.get("away", ""), self.starts_at())


class Board(Struct):
    sport_event: SportEvent
    markets: list[Market] = field(default_factory=list)


class Chance(Struct):
    name: Name


class ChanceMarket(Struct):
    name: Id
    outcomes: list[Chance]

    def market(self) -> Market:
        """Probabilities are offered by no book and at no price."""
        return Market(self.name, [Book("sportradar", [Outcome(chance.name) for chance in self.outcomes])])


class Probabilities(Struct):
    markets: list[ChanceMarket]


class Team(Struct):
    name: Name
    market: Name = ""  # its city

    def competitor(self, qualifier: str) -> Competitor:
        return Competitor(f"{self.market} {self.name}".strip(), qualifier)


class Sides(Struct):
    home: Team
    away: Team

    def competitors(self) -> list[Competitor]:
        return [self.home.competitor("home"), self.away.competitor("away")]


class Body(Struct):
    """A competition's markets, one event's, its probabilities, or a game's box score: whichever it is."""

    competition_sport_event_markets: list[Board] | None = None
    sport_event: SportEvent | None = None
    markets: list[Market] = field(default_factory=list)
    probabilities: Probabilities | None = None
    id: Id | None = None
    scheduled: Moment | None = None
    home: Team | None = None
    away: Team | None = None
    summary: Sides | None = None  # where football's box scores keep the teams

    def __post_init__(self) -> None:
        if self.competition_sport_event_markets is None and not self.sport_event and not self._sides():
            raise ValueError("no markets, no event, no game")

    def boards(self) -> list[Board]:
        if self.competition_sport_event_markets is not None:
            return self.competition_sport_event_markets
        if self.sport_event:
            chances = self.probabilities.markets if self.probabilities else []
            return [Board(self.sport_event, [*self.markets, *(found.market() for found in chances)])]
        sides = self._sides()
        assert sides and self.id
        return [Board(SportEvent(self.id, self.scheduled, None, sides.competitors()))]

    def _sides(self) -> Sides | None:
        if self.id and self.scheduled and self.home and self.away:
            return Sides(self.home, self.away)
        return self.summary if self.id and self.scheduled else None


class Player(Struct):
    name: Name


class PlayerMarkets(Struct):
    player: Player
    markets: list[Market] = field(default_factory=list)


class EventProps(Struct):
    players_props: list[PlayerMarkets] = field(default_factory=list)


class Props(Struct):
    sport_event_players_props: EventProps


def lines_of(event: str, player: str, markets: Iterable[Market]) -> Iterator[Line]:
    for market in markets:
        for book in market.books:
            for outcome in book.outcomes:
                if book.removed or outcome.removed:
                    continue
                point = next(filter(lambda n: n is not None, map(_number, _points(outcome))), None)
                key = book.name.lower().replace(" ", "_")[:50]  # some letters get longer
                yield Line(event, key, market.name, player, outcome.type, point, _number(outcome.odds_american))


def _points(outcome: Outcome) -> tuple[Number, ...]:
    return outcome.total, outcome.spread, outcome.handicap


def _number(value: Number) -> float | None:
    """Sportradar writes numbers as texts: "+120", "8.5"."""
    with suppress(TypeError, ValueError):
        number = float(value)  # type: ignore[arg-type]
        return number if math.isfinite(number) else None
    return None


def in_order(name: str) -> str:
    """Sportradar writes "James, LeBron"."""
    return " ".join(reversed(name.split(", ", 1)))
