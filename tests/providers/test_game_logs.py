"""Imports of box scores: all of a file or nothing, and bad rows are named."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from core.access.actors import SYSTEM
from core.errors import Refused, WrongInput
from providers.gamelogs import operations
from providers.gamelogs.loader import BadFile, Imported
from providers.models import GameLog

pytestmark = pytest.mark.django_db
HEADER = "date,game,player,player_id,team,position,points,rebounds"
LEBRON = "2026-01-05,g1,LeBron James,lj,LAL,F,28,8"
LUKA = "2026-01-05,g1,Luka Doncic,ld,LAL,G,31,9"
PLAIN = "\n".join([HEADER, LEBRON, LUKA])

NFL_HEADER = (
    "player_id,player_display_name,position,position_group,recent_team,season,week,opponent_team,"
    "rushing_tds,receiving_tds,special_teams_tds,passing_tds,passing_yards,sacks"
)
HENRY = "00-1,Derrick Henry,RB,RB,BAL,2024,1,KC,2,1,0,0,0,0"
SCHEDULE = "game_id,season,week,gameday,away_team,home_team\n2024_01_BAL_KC,2024,1,2024-09-05,BAL,KC\n"


def run(text: str | bytes, sport: str = "NBA", **options: Any) -> Imported:
    file = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    return operations.import_file(file, sport, actor=SYSTEM, **options)


@pytest.fixture(autouse=True)
def _fleet(fleet: None) -> None: ...


def test_it_stores_one_row_per_player_and_game() -> None:
    done = run(PLAIN)
    assert (done.rows, done.created, done.updated, done.bad_count, done.source) == (2, 2, 0, 0, "plain")
    log = GameLog.objects.get(player="LeBron James")
    assert (log.player_id, log.team, log.position, log.game, str(log.played_on)) == (
        "lj",
        "LAL",
        "F",
        "g1",
        "2026-01-05",
    )
    assert log.stats == {"points": 28, "rebounds": 8}


def test_the_same_file_again_changes_nothing() -> None:
    run(PLAIN)
    again = run(PLAIN)
    assert again.unchanged == 2
    assert (again.created, again.updated) == (0, 0)


def test_a_corrected_file_changes_what_it_corrects() -> None:
    run(PLAIN)
    done = run(PLAIN.replace(",28,", ",29,"))
    assert (done.created, done.updated, done.unchanged) == (0, 1, 1)
    assert GameLog.objects.get(player_id="lj").stats["points"] == 29


def test_a_dry_run_stores_nothing() -> None:
    assert run(PLAIN, dry_run=True).created == 2
    assert GameLog.objects.count() == 0


def test_a_mapping_names_other_columns() -> None:
    text = "When,Match,Who,PTS,OREB,DREB\n2026-01-05,g1,LeBron James,28,2,6"
    mapping = {
        "When": "played_on",
        "Match": "game",
        "Who": "player",
        "PTS": "points",
        "OREB": "rebounds",
        "DREB": "rebounds",
    }
    run(text, mapping=mapping)
    assert GameLog.objects.get().stats == {"points": 28, "rebounds": 8}


def test_an_empty_cell_is_no_zero() -> None:
    run(f"{HEADER}\n2026-01-05,g1,LeBron James,lj,LAL,F,,8")
    assert GameLog.objects.get().stats == {"rebounds": 8}


def test_nflverse_takes_dates_and_games_from_its_schedule() -> None:
    done = run(f"{NFL_HEADER}\n{HENRY}", "NFL", schedule=io.BytesIO(SCHEDULE.encode()))
    log = GameLog.objects.get()
    assert (done.source, log.source, log.game, str(log.played_on)) == (
        "nflverse",
        "nflverse",
        "2024_01_BAL_KC",
        "2024-09-05",
    )
    assert log.stats["touchdowns"] == 3  # the player's own, not those passed
    assert log.position == "RB"


def test_nflverse_finds_the_game_by_the_players_team_alone() -> None:
    run(f"{NFL_HEADER}\n{HENRY.replace(',KC,', ',BAL,')}", "NFL", schedule=io.BytesIO(SCHEDULE.encode()))
    assert GameLog.objects.get().game == "2024_01_BAL_KC"


BAD = {
    "a bad number in the last line": (
        f"{PLAIN}\n2026-01-06,g2,X,x,LAL,F,12,many",
        4,
        "rebounds",
        "must be a number (got 'many')",
    ),
    "not a finite number": (f"{PLAIN}\n2026-01-06,g2,X,x,LAL,F,nan,1", 4, "points", "must be a number (got 'nan')"),
    "a day that does not exist": (
        f"{PLAIN}\n2026-02-30,g2,X,x,LAL,F,1,1",
        4,
        "date",
        "must be a date such as 2026-01-31 (got '2026-02-30')",
    ),
    "a duplicate": (f"{PLAIN}\n{LEBRON}", 4, "", "has the same player and game as line 2"),
    "a cell too few": (f"{PLAIN}\n2026-01-06,g2,X", 4, "", "must have 8 cells, as the header has (got 3)"),
    "no player": (f"{PLAIN}\n2026-01-06,g2,,x,LAL,F,1,1", 4, "player", "must not be empty"),
    "a long name": (
        f"{PLAIN}\n2026-01-06,g2,{'X' * 101},x,LAL,F,1,1",
        4,
        "player",
        "must have at most 100 characters (got 101)",
    ),
    "no statistic": (f"{PLAIN}\n2026-01-06,g2,X,x,LAL,F,,", 4, "points", "the row must have a statistic (got none)"),
    "an open quote": (f'{PLAIN}\n"2026-01-06,g2,X', 4, "", "cannot be read as CSV"),
    "an underscore": (f"{PLAIN}\n2026-01-06,g2,X,x,LAL,F,1_0,1", 4, "points", "must be a number (got '1_0')"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_row_stores_nothing_and_is_named(what: str) -> None:
    text, line, column, reason = BAD[what]
    with pytest.raises(BadFile, match="nothing stored") as caught:
        run(text)
    [bad] = caught.value.imported.bad
    assert (bad.line, bad.column) == (line, column)
    assert bad.reason.startswith(reason)
    assert GameLog.objects.count() == 0


@pytest.mark.parametrize("what", BAD)
def test_bad_rows_can_be_skipped(what: str) -> None:
    done = run(BAD[what][0], skip_bad=True)
    assert (done.rows, done.created, done.bad_count) == (2, 2, 1)
    assert set(GameLog.objects.values_list("player_id", flat=True)) == {"lj", "ld"}


def test_the_first_hundred_bad_rows_are_named_and_all_are_counted() -> None:
    rows = [f"2026-01-06,g{n},X,x,LAL,F,bad,1" for n in range(250)]
    with pytest.raises(BadFile, match="250 bad rows") as caught:
        run("\n".join([HEADER, *rows]))
    assert [bad.line for bad in caught.value.imported.bad] == list(range(2, 102))


def test_a_stray_quote_spoils_no_other_row() -> None:
    rows = [f"2026-01-06,g{n},X,x{n},LAL,F,1,1" for n in range(200)]
    rows[3] = rows[3].replace(",X,", ',"X,')
    rows[150] = rows[150].replace(",X,", ',Y",')
    done = run("\n".join([HEADER, *rows]), skip_bad=True)
    assert (done.rows, done.bad_count) == (199, 1)
    assert [bad.line for bad in done.bad] == [5]


def test_blank_lines_are_not_rows() -> None:
    assert run(f"{HEADER}{chr(10) * 5000}{LEBRON}\n\n{LUKA}\n\n").created == 2


def test_a_cell_may_have_several_lines() -> None:
    done = run(f'{HEADER}\n2026-01-06,g1,"Le\nBron",x,LAL,F,1,1\n{LUKA}')
    assert done.created == 2
    assert GameLog.objects.filter(player="Le\nBron").exists()


def test_a_line_without_an_end_is_refused() -> None:
    with pytest.raises(WrongInput, match="line 2 is longer than"):
        run(f"{HEADER}\n" + "x" * 1_000_000)


def test_many_duplicates_are_counted_in_one_pass() -> None:
    with pytest.raises(BadFile, match="20000 bad rows"):
        run("\n".join([HEADER, *[LEBRON] * 20_001]))
    assert run("\n".join([HEADER, *[LEBRON] * 20_001]), skip_bad=True).created == 1


@pytest.mark.parametrize("value", ["a\0b", "1\udcff"])
def test_text_that_a_table_cannot_hold_is_named_with_its_place(value: str) -> None:
    text = f"{NFL_HEADER}\n{HENRY.replace(',2024,1,', f',2024,{value},')}"
    with pytest.raises(BadFile, match="line 2, column week") as caught:
        run(text.encode(errors="surrogateescape"), "NFL", schedule=io.BytesIO(SCHEDULE.encode()))
    json.dumps(caught.value.imported.document()).encode()
    assert "\0" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_is_named_with_its_place(encoding: str) -> None:
    with pytest.raises(BadFile, match="line 4, column player: is not UTF-8"):
        run(f"{PLAIN}\n2026-01-06,g2,José,x,LAL,F,1,1".encode(encoding))
    assert GameLog.objects.count() == 0


def test_utf_16_is_refused() -> None:
    with pytest.raises(WrongInput, match="not in UTF-8"):
        run(PLAIN.encode("utf-16"))


def test_a_byte_order_mark_does_no_harm() -> None:
    assert run(PLAIN.encode("utf-8-sig")).created == 2


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        ("", {}, "has no header"),
        ("a,b,c\n1,2,3", {}, r"has no column for player \(player or player_name or name\), game"),
        ("player,game,date\nX,g,2026-01-05", {}, "has no column with a statistic of NBA"),
        (PLAIN, {"mapping": {"PTS": "points"}}, "cannot use the mapping: the file has no column PTS"),
        ("player,player,game,date,points\n", {}, "names player more than once"),
        (f"{NFL_HEADER}\n{HENRY}", {}, "of the NFL"),
        (PLAIN, {"format": "nflverse"}, r"has no column for player \(player_display_name\)"),
    ],
)
def test_wrong_columns_are_named(text: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(WrongInput, match=problem):
        run(text, **options)


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        (None, "add its schedule file"),
        ("a,b\n1,2", "has no column season"),
        (f"{SCHEDULE}x,y\n", "cannot read line 3 of the schedule"),
    ],
)
def test_a_file_that_is_not_a_schedule_is_refused(schedule: str | None, problem: str) -> None:
    with pytest.raises(WrongInput, match=problem):
        run(f"{NFL_HEADER}\n{HENRY}", "NFL", schedule=io.BytesIO(schedule.encode()) if schedule else None)


def test_a_week_that_the_schedule_lacks_is_named() -> None:
    with pytest.raises(BadFile, match="line 2, column week: the schedule has no game of BAL in week 2 of 2024"):
        run(f"{NFL_HEADER}\n{HENRY.replace(',2024,1,', ',2024,2,')}", "NFL", schedule=io.BytesIO(SCHEDULE.encode()))


def test_an_import_needs_its_permission(member: Callable[[str], User]) -> None:
    with pytest.raises(Refused, match="import_gamelog"):
        operations.import_file(io.BytesIO(PLAIN.encode()), "NBA", actor=member("Viewer"))
    assert operations.import_file(io.BytesIO(PLAIN.encode()), "NBA", actor=member("Operator")).created == 2


RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.skipif(not RECORDED.exists(), reason="the sample files are not beside the checkout")
@pytest.mark.parametrize("name", ["nfl_player_stats_2023", "nfl_player_stats_2024", "mlb_batting_2020"])
def test_the_samples_give_the_expected_figures(name: str) -> None:
    figures = json.loads((RECORDED / "EXPECTED.json").read_bytes())["gamelogs"][f"{name}.csv"]
    logs = RECORDED / "gamelogs"
    with (logs / f"{name}.csv").open("rb") as file, (logs / "nfl_games_2023_2024.csv").open("rb") as schedule:
        games = schedule if figures["sport"] == "NFL" else None
        done = operations.import_file(file, figures["sport"], actor=SYSTEM, schedule=games)
    stored = list(GameLog.objects.all())
    assert (done.rows, done.created, len(stored)) == (figures["rows"],) * 3
    assert len({log.player_id for log in stored}) == figures["players"]
    assert len({log.game for log in stored}) == figures["games"]
    days = sorted(str(log.played_on) for log in stored)
    assert (days[0], days[-1]) == (figures["dates"]["first"], figures["dates"]["last"])
    for statistic, expected in figures["sums"].items():
        if statistic != "touchdowns_with_passing":
            assert sum(log.stats.get(statistic, 0) for log in stored) == expected
