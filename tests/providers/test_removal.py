"""The removal of lines: only if a good answer covers a line and does not contain it any more."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.choices import PollOutcome
from providers.fleet.backfill import Scope
from providers.models import Event, PropLine, ProviderState
from providers.polling.claims import claim_due
from providers.polling.ingest import store_poll
from providers.upstream.messages import Answer, Call, Game, Line, Poll, distinct

NOW = datetime(2026, 1, 5, 18, tzinfo=UTC)
GAMES = (Game("one", "Home", "Away", NOW), Game("two", "Here", "There", NOW))
Store = Callable[..., set[tuple[str, str]]]


def line(event: str = "one", market: str = "h2h", player: str = "", side: str = "Home", price: float = 100) -> Line:
    return Line(event, "draftkings", market, player, side, None if market == "h2h" else 1.5, price)


MONEY, OTHER = line(), line("two")
POINTS, OTHERS_POINTS = line(market="points", player="A"), line("two", "points", "B")
EVERYTHING = (MONEY, OTHER, POINTS, OTHERS_POINTS)
BOTH = frozenset({"one", "two"})


@pytest.fixture
def store(state: ProviderState) -> Store:
    """A function that stores an answer with these lines. It returns the lines that are offered afterwards."""

    def store_answer(
        *lines: Line,
        games: tuple[Game, ...] = GAMES,
        offered: frozenset[str] = BOTH,
        player_offered: frozenset[str] = BOTH,
    ) -> set[tuple[str, str]]:
        [claim] = claim_due(scope=Scope("stub", "NBA"), everything=True)
        listed = frozenset(game.id for game in games)
        answer = Answer(games, lines, listed, offered & listed, player_offered & listed)
        assert store_poll(claim, Poll((Call("/odds", NOW, 1.0, PollOutcome.OK),), answer))
        rows = PropLine.objects.filter(removed_at=None)
        return set(rows.values_list("event__external_id", "market"))

    return store_answer


def test_a_line_that_is_no_longer_offered_is_removed(store: Store) -> None:
    store(*EVERYTHING)
    assert store(OTHER, POINTS, OTHERS_POINTS) == {("two", "h2h"), ("one", "points"), ("two", "points")}


def test_a_line_that_comes_back_is_offered_again(store: Store) -> None:
    store(*EVERYTHING)
    store(OTHER)
    assert ("one", "h2h") in store(*EVERYTHING)
    assert PropLine.objects.count() == 4


def test_all_lines_of_a_game_that_is_no_longer_listed_are_removed(store: Store) -> None:
    store(*EVERYTHING)
    assert store(MONEY, POINTS, games=GAMES[:1]) == {("one", "h2h"), ("one", "points")}


def test_player_lines_stay_when_their_own_call_failed(store: Store) -> None:
    store(*EVERYTHING)
    assert ("one", "points") in store(MONEY, OTHER, OTHERS_POINTS, player_offered=frozenset({"two"}))


def test_game_lines_stay_when_no_bookmaker_answered(store: Store) -> None:
    store(*EVERYTHING)
    assert ("one", "h2h") in store(OTHER, POINTS, OTHERS_POINTS, offered=frozenset({"two"}))


def test_nothing_is_removed_by_an_answer_without_games(store: Store) -> None:
    store(*EVERYTHING)
    assert len(store(games=())) == 4


def test_another_point_is_another_line(store: Store) -> None:
    store(*EVERYTHING)
    moved = Line("one", "draftkings", "points", "A", "Home", 2.5, 100)
    store(MONEY, OTHER, moved, OTHERS_POINTS)
    points = PropLine.objects.filter(player="A", removed_at=None).values_list("point", flat=True)
    assert list(points) == [2.5]


def test_the_lines_of_another_state_stay(store: Store, state: ProviderState) -> None:
    store(*EVERYTHING)
    event = Event.objects.get(external_id="one")
    other = ProviderState.objects.get(provider="fanduel", sport="NBA")
    PropLine.objects.create(state=other, event=event, bookmaker="fanduel", market="h2h", side="Home", price=5)
    store(OTHER, games=GAMES[1:])
    assert list(PropLine.objects.filter(removed_at=None, state=other).values_list("price", flat=True)) == [5]


lines = st.builds(line, st.sampled_from(["one", "two"]), st.sampled_from(["h2h", "points"]), price=st.floats(1, 9))


@given(st.lists(lines))
def test_each_line_counts_once_at_the_price_that_came_first(sent: list[Line]) -> None:
    kept = distinct(sent)
    assert len({line.identity for line in kept}) == len(kept)
    for line in kept:
        first = next(other for other in sent if other.identity == line.identity)
        assert first is line
