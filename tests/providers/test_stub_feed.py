"""The stub feed as its HTTP clients see it."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from providers.stub.faults import KINDS
from providers.stub.server import MONTHLY_QUOTA, served
from providers.stub.world import ROSTERS, GameOffers, american_price, list_games
from tests.processes import until

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NBA = ROSTERS["NBA"]
StubFeed = Callable[..., str]


def get(url: str) -> tuple[int, Any, dict[str, str]]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, json.loads(response.read()), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read()), dict(error.headers)


@pytest.fixture
def url(stub_feed: StubFeed) -> str:
    return f"{stub_feed()}/v4/sports"


def test_it_lists_the_four_sports(url: str) -> None:
    keys = {"basketball_nba", "baseball_mlb", "americanfootball_nfl", "icehockey_nhl"}
    assert {sport["key"] for sport in get(url)[1]} == keys


@pytest.mark.parametrize("roster", ROSTERS.values(), ids=ROSTERS)
def test_it_answers_odds_in_the_format_of_the_odds_api(url: str, roster: Any) -> None:
    status, events, _ = get(f"{url}/{roster.key}/odds?regions=us&markets=h2h,totals&bookmakers=fanduel")
    assert status == 200
    assert len(events) > 3
    assert events[0].keys() == {
        "id",
        "sport_key",
        "sport_title",
        "commence_time",
        "home_team",
        "away_team",
        "bookmakers",
    }
    [book] = events[0]["bookmakers"]
    assert book["key"] == "fanduel"
    assert [market["key"] for market in book["markets"]] == ["h2h", "totals"]
    assert all(isinstance(outcome["price"], int) for market in book["markets"] for outcome in market["outcomes"])


def test_it_returns_player_lines_per_event_only(url: str) -> None:
    assert get(f"{url}/basketball_nba/odds?markets=player_points")[0] == 422
    event = get(f"{url}/basketball_nba/events")[1][0]["id"]
    _, answer, _ = get(f"{url}/basketball_nba/events/{event}/odds?markets=player_points")
    outcomes = answer["bookmakers"][0]["markets"][0]["outcomes"]
    assert {outcome["name"] for outcome in outcomes} == {"Over", "Under"}
    assert len({outcome["description"] for outcome in outcomes}) == 6


def test_it_counts_the_quota(url: str) -> None:
    get(f"{url}/basketball_nba/odds?markets=h2h,spreads&apiKey=mine")
    headers = get(f"{url}/basketball_nba/odds?markets=h2h&apiKey=mine")[2]
    assert (headers["x-requests-last"], headers["x-requests-used"]) == ("1", "3")
    assert headers["x-requests-remaining"] == str(MONTHLY_QUOTA - 3)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("curling/odds", 404, "UNKNOWN_SPORT"),
        ("basketball_nba/odds?markets=x", 422, "INVALID_MARKET"),
        ("basketball_nba/events/none/odds", 404, "EVENT_NOT_FOUND"),
    ],
)
def test_it_refuses_with_an_error_code(url: str, path: str, status: int, code: str) -> None:
    answered, body, _ = get(f"{url}/{path}")
    assert (answered, body["error_code"]) == (status, code)


def test_it_writes_times_in_the_requested_format(url: str) -> None:
    iso, unix = (get(f"{url}/icehockey_nhl/events{query}")[1][0]["commence_time"] for query in ("", "?dateFormat=unix"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z", iso)
    assert datetime.fromisoformat(iso).timestamp() == unix


def test_it_is_the_same_world_for_the_same_seed_and_time() -> None:
    def offers(seed: int, now: datetime) -> Any:
        markets, books = ["h2h", "player_points"], ["fanduel"]
        return [GameOffers(NBA, game, seed, now).bookmakers(markets, books) for game in list_games(NBA, seed, now)]

    assert offers(7, NOON) == offers(7, NOON)
    assert offers(7, NOON) != offers(8, NOON)
    assert offers(7, NOON) != offers(7, NOON + timedelta(minutes=5))  # prices move


def test_a_game_is_listed_until_it_is_over() -> None:
    game = list_games(NBA, 7, NOON)[0]
    assert game in list_games(NBA, 7, game.starts_at + timedelta(hours=2))
    assert game not in list_games(NBA, 7, game.starts_at + timedelta(hours=4))


def test_the_six_players_take_part() -> None:
    players = {player for roster in ROSTERS.values() for team in roster.teams.values() for player in team}
    assert players >= {
        "LeBron James",
        "Luka Doncic",
        "Aaron Judge",
        "Mookie Betts",
        "Josh Allen",
        "Patrick Mahomes",
    }


@given(st.floats(0.02, 0.98))
def test_an_american_price_means_its_probability(probability: float) -> None:
    price = american_price(probability)
    back = -price / (100 - price) if price < 0 else 100 / (100 + price)
    assert back == pytest.approx(probability, abs=0.02)


@pytest.mark.parametrize("fault", ["bogus", "500:2", "500:often", "slow:-1"])
def test_it_names_the_known_faults(fault: str) -> None:
    with pytest.raises(CommandError, match="timeout") as caught:
        call_command("stub_feed", "--fault", fault)
    assert caught.value.returncode == 2
    assert len(KINDS) == 10


def test_a_fault_occurs_at_its_rate(stub_feed: StubFeed) -> None:
    url = f"{stub_feed('500:0.5', seed=1)}/v4/sports"
    statuses = [get(url)[0] for _ in range(60)]
    assert 15 < statuses.count(500) < 45
    assert set(statuses) == {200, 500}


def test_it_reports_that_its_port_is_taken(stub_feed: StubFeed) -> None:
    port = stub_feed().rsplit(":", 1)[1]
    with pytest.raises(CommandError, match=f"cannot listen on port {port}"):
        call_command("stub_feed", "--port", port)


def test_a_running_feed_misbehaves_as_long_as_another_process_asks_for_it(url: str, stub_feed: StubFeed) -> None:
    port = str(urlsplit(url).port)
    command = [sys.executable, str(MANAGE), "stub_feed", "--port", port, "--fault", "500"]
    asker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert asker.stdout
    assert "misbehaves (500)" in asker.stdout.readline()
    assert get(url)[0] == 500
    asker.kill()
    asker.wait()
    asker.stdout.close()
    assert until(lambda: get(url)[0] == 200)


def test_it_reports_that_its_port_is_taken_by_another_server(stub_feed: StubFeed) -> None:
    with served(web.Application()) as url, pytest.raises(CommandError, match="not by a stub feed"):
        call_command("stub_feed", "--port", url.rsplit(":", 1)[1], "--fault", "500")
