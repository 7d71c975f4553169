"""Recorded answers of the real upstreams. They are not part of the project: without them these tests are skipped."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.adapters import odds_api, prizepicks, sportradar
from providers.adapters.odds_api import ListedEvent, OddsEvent
from providers.adapters.prizepicks import PrizePicksBoard
from providers.adapters.sportradar_shapes import MarketsAnswer
from providers.upstream.caller import read_error
from providers.upstream.messages import Answer

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not beside the checkout")
EXPECTED: dict[str, Any] = {}
if RECORDED.exists():
    EXPECTED = json.loads((RECORDED / "EXPECTED.json").read_bytes())["feeds"]


class Snapshot(msgspec.Struct):
    """The Odds API's history, which wraps its usual answers."""

    data: list[OddsEvent] | OddsEvent


def as_odds(body: bytes) -> Answer:
    return odds_api.combine(msgspec.json.decode(body, type=list[OddsEvent]), [])


def as_event_odds(body: bytes) -> Answer:
    event = msgspec.json.decode(body, type=OddsEvent)
    return odds_api.combine([event], [])


def as_history(body: bytes) -> Answer:
    data = msgspec.json.decode(body, type=Snapshot).data
    return odds_api.combine(data if isinstance(data, list) else [data], [])


def as_list(body: bytes) -> Answer:
    listed = msgspec.json.decode(body, type=list[ListedEvent])
    events = [OddsEvent(game.id, game.home_team, game.away_team, game.commence_time, []) for game in listed]
    return odds_api.combine(events, [])


def as_board(body: bytes) -> Answer:
    return prizepicks.to_answer(msgspec.json.decode(body, type=PrizePicksBoard))


def as_game(body: bytes) -> Answer:
    return sportradar.combine(msgspec.json.decode(body, type=MarketsAnswer).games(), [])


READERS = {
    "theodds-v4-odds": as_odds,
    "theodds-v4-event-odds": as_event_odds,
    "theodds-v4-historical-odds": as_history,
    "theodds-v4-historical-event-odds": as_history,
    "theodds-v4-events": as_list,
    "theodds-v4-scores": as_list,
    "prizepicks-projections": as_board,
    "sportradar-game": as_game,
    "sportradar-probabilities": as_game,
}


def of_format(*formats: str) -> list[str]:
    return [name for name, about in EXPECTED.items() if about["format"] in formats]


def body(name: str) -> bytes:
    return (RECORDED / "feeds" / name).read_bytes()


@pytest.mark.parametrize("name", of_format(*READERS))
def test_it_gives_the_expected_counts(name: str) -> None:
    about = EXPECTED[name]
    answer = READERS[about["format"]](body(name))
    assert (len(answer.games), len(answer.lines)) == (about["events"], about["lines"])
    assert all(game.starts_at.tzinfo for game in answer.games)
    if "bookmakers" in about:
        assert sorted({line.bookmaker for line in answer.lines}) == about["bookmakers"]
        assert len({line.player for line in answer.lines} - {""}) == about["players"]


@pytest.mark.parametrize("name", of_format("prizepicks-projections"))
def test_lines_of_no_game_are_kept(name: str) -> None:
    answer = as_board(body(name))
    assert answer.has_gameless == (EXPECTED[name]["projections_without_game"] > 0)
    assert {line.event for line in answer.lines} - {""} == {game.id for game in answer.games}
    if answer.games:
        assert all(" v " in game.home_team for game in answer.games)


@pytest.mark.parametrize("name", of_format("theodds-v3-odds", "theodds-v4-error", "theodds-v4-sports"))
def test_it_refuses_another_shape(name: str) -> None:
    for reader in (as_odds, as_event_odds, as_board, as_game):
        with pytest.raises(msgspec.ValidationError):
            reader(body(name))


@pytest.mark.parametrize("name", of_format("theodds-v4-events", "theodds-v4-scores"))
def test_a_list_without_bookmakers_does_not_count_as_odds(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="bookmakers"):
        as_odds(body(name))


@pytest.mark.parametrize("name", [name for name, about in EXPECTED.items() if about["error"]])
def test_an_error_has_its_reason(name: str) -> None:
    about, error = EXPECTED[name], read_error(body(name))
    assert error.message == about["message"]
    if about["format"] == "theodds-v4-error":
        assert error.error_code == about["error_code"]


def test_every_recorded_format_has_a_test() -> None:
    known = {*READERS, "theodds-v3-odds", "theodds-v4-error", "theodds-v4-sports", "html-error", "sportradar-error"}
    assert {about["format"] for about in EXPECTED.values()} == known
