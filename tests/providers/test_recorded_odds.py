"""Real answers of The Odds API, recorded by others; not part of the project, so skipped where they are absent."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.adapters.odds_api import Event, combine
from providers.feed import Answer

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not beside the checkout")


def expected() -> dict[str, Any]:
    if not RECORDED.exists():
        return {}
    found: dict[str, Any] = json.loads((RECORDED / "EXPECTED.json").read_bytes())["feeds"]
    return {name: about for name, about in found.items() if name.startswith("theodds")}


def of_format(*formats: str) -> list[str]:
    return [name for name, about in expected().items() if about["format"] in formats]


def read(name: str) -> Answer:
    body = (RECORDED / "feeds" / name).read_bytes()
    if expected()[name]["format"] == "theodds-v4-event-odds":
        return combine([], [msgspec.json.decode(body, type=Event)])
    return combine(msgspec.json.decode(body, type=list[Event]), [])


@pytest.mark.parametrize("name", of_format("theodds-v4-odds", "theodds-v4-event-odds"))
def test_it_reads_every_line(name: str) -> None:
    about, answer = expected()[name], read(name)
    assert len(answer.lines) == about["lines"]
    assert sorted({line.bookmaker for line in answer.lines}) == about["bookmakers"]
    assert len({line.event for line in answer.lines}) == about["events"]
    assert len({line.player for line in answer.lines} - {""}) == about["players"]
    assert all(game.starts_at.tzinfo for game in answer.games)


@pytest.mark.parametrize("name", of_format("theodds-v3-odds", "theodds-v4-error", "theodds-v4-sports"))
def test_it_refuses_another_shape(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(name)


@pytest.mark.parametrize("name", of_format("theodds-v4-events", "theodds-v4-scores"))
def test_a_list_without_bookmakers_is_not_taken_for_odds(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="bookmakers"):
        read(name)
