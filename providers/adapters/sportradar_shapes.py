"""The shapes of Sportradar's answers, and their translation into games and lines."""

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from msgspec import Struct, field

from providers.adapters.fields import BookKey, Id, Moment, Name
from providers.upstream.messages import Game, Line

Number = str | float | None
LONGEST_BOOK_KEY = 50  # characters of the column


class MarketOutcome(Struct):
    type: Name
    odds_american: Number = None
    total: Number = None
    spread: Number = None
    handicap: Number = None
    removed: bool = False


class Book(Struct):
    name: BookKey
    outcomes: list[MarketOutcome] = field(default_factory=list)
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
    scheduled: Moment | None = None  # the older name of start_time
    competitors: list[Competitor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.starts_at()  # an event without a start does not decode

    def starts_at(self) -> datetime:
        start = self.start_time or self.scheduled
        if start is None:
            raise ValueError("an event must have a start")
        return start

    def game(self) -> Game:
        names = {competitor.qualifier: competitor.name for competitor in self.competitors}
        return Game(self.id, names.get("home", ""), names.get("away", ""), self.starts_at())


class EventMarkets(Struct):
    """A game with its markets."""

    sport_event: SportEvent
    markets: list[Market] = field(default_factory=list)


class ProbabilityOutcome(Struct):
    name: Name


class ProbabilityMarket(Struct):
    name: Id
    outcomes: list[ProbabilityOutcome]

    def market(self) -> Market:
        """Return the market as Sportradar's own, without prices: no bookmaker offers a probability."""
        return Market(self.name, [Book("sportradar", [MarketOutcome(outcome.name) for outcome in self.outcomes])])


class Probabilities(Struct):
    markets: list[ProbabilityMarket]


class Team(Struct):
    name: Name
    market: Name = ""  # its city

    def competitor(self, qualifier: str) -> Competitor:
        return Competitor(f"{self.market} {self.name}".strip(), qualifier)


class Teams(Struct):
    home: Team
    away: Team

    def competitors(self) -> list[Competitor]:
        return [self.home.competitor("home"), self.away.competitor("away")]


class MarketsAnswer(Struct):
    """An answer with one of: a competition's markets, one event's markets, its probabilities, a game's box score."""

    competition_sport_event_markets: list[EventMarkets] | None = None
    sport_event: SportEvent | None = None
    markets: list[Market] = field(default_factory=list)
    probabilities: Probabilities | None = None
    id: Id | None = None
    scheduled: Moment | None = None
    home: Team | None = None
    away: Team | None = None
    summary: Teams | None = None  # the teams of football's box scores

    def __post_init__(self) -> None:
        is_of_games = self.competition_sport_event_markets is not None or self.sport_event is not None
        if not is_of_games and self._box_score() is None:
            raise ValueError("an answer must have markets, an event or a game")

    def games(self) -> list[EventMarkets]:
        """Return the answer's games with their markets. A box score has no markets."""
        if self.competition_sport_event_markets is not None:
            return self.competition_sport_event_markets
        if self.sport_event:
            probabilities = self.probabilities.markets if self.probabilities else []
            markets = [*self.markets, *(probability.market() for probability in probabilities)]
            return [EventMarkets(self.sport_event, markets)]
        box_score = self._box_score()
        return [EventMarkets(box_score)] if box_score else []

    def _box_score(self) -> SportEvent | None:
        """Return the event of a box score, or None if the answer is of another kind."""
        if self.id is None or self.scheduled is None:
            return None
        teams = Teams(self.home, self.away) if self.home and self.away else self.summary
        return SportEvent(self.id, self.scheduled, None, teams.competitors()) if teams else None


class SportradarPlayer(Struct):
    name: Name


class PlayerMarkets(Struct):
    player: SportradarPlayer
    markets: list[Market] = field(default_factory=list)


class EventProps(Struct):
    players_props: list[PlayerMarkets] = field(default_factory=list)


class PlayerPropsAnswer(Struct):
    """The player markets of one game."""

    sport_event_players_props: EventProps


def market_lines(event: str, player: str, markets: Iterable[Market]) -> Iterator[Line]:
    """Yield the lines of the markets, without removed ones. `player` is empty for a game's own markets."""
    for market in markets:
        for book in market.books:
            for outcome in book.outcomes:
                if book.removed or outcome.removed:
                    continue
                key = book.name.lower().replace(" ", "_")[:LONGEST_BOOK_KEY]  # lower() makes some letters longer
                price = _to_number(outcome.odds_american)
                yield Line(event, key, market.name, player, outcome.type, _point(outcome), price)


def _point(outcome: MarketOutcome) -> float | None:
    """Return the first of total, spread and handicap that is a number."""
    numbers = map(_to_number, (outcome.total, outcome.spread, outcome.handicap))
    return next((number for number in numbers if number is not None), None)


def _to_number(value: Number) -> float | None:
    """Return the number of a text such as "+120" or "8.5", which is how Sportradar writes numbers."""
    if value is None:
        return None
    with suppress(ValueError):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def in_name_order(name: str) -> str:
    """Return "LeBron James" for Sportradar's "James, LeBron"."""
    return " ".join(reversed(name.split(", ", 1)))
