"""A box score in the form that every source is turned into, and the reasons why a row is bad. Values only."""

import math
import re
from dataclasses import dataclass
from datetime import date

STATISTICS = {
    "NBA": [
        "points",
        "rebounds",
        "assists",
        "threes",
        "steals",
        "blocks",
        "turnovers",
        "fouls",
        "field_goals_made",
        "field_goals_attempted",
        "threes_attempted",
        "free_throws_made",
        "free_throws_attempted",
        "offensive_rebounds",
        "defensive_rebounds",
        "minutes",
    ],
    "MLB": [
        "hits",
        "runs",
        "rbis",
        "home_runs",
        "strikeouts",
        "walks",
        "total_bases",
        "stolen_bases",
        "doubles",
        "triples",
        "at_bats",
        "plate_appearances",
        "hit_by_pitch",
    ],
    "NFL": [
        "passing_yards",
        "rushing_yards",
        "touchdowns",
        "receptions",
        "sacks",
        "completions",
        "attempts",
        "interceptions",
        "receiving_yards",
        "targets",
        "carries",
        "passing_touchdowns",
    ],
    "NHL": ["goals", "assists", "shots", "hits", "blocked_shots", "points", "penalty_minutes", "plus_minus"],
}
MAX_CHARACTERS = {"player_id": 64, "player": 100, "team": 100, "position": 16, "game": 64}  # as the table's columns
PRINTABLE_CHARACTERS = 300
Count = int | float


@dataclass(frozen=True, slots=True)
class Log:
    """The box score of one player in one game. `game_number` counts a double-header's games from 1; else it is 0."""

    player_id: str
    player: str
    team: str
    position: str
    game: str
    played_on: date
    stats: dict[str, Count]
    game_number: int = 0


class BadRow(Exception):
    """A row that cannot be imported. The reason may quote a cell with any bytes that the file had there."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(column, reason)
        self.column, self.reason = column, reason


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A bad row as it is reported: the line where it begins, the column (empty: the whole row) and the reason."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"line {self.line}{column}: {self.reason}"


def printable(text: str) -> str:
    """Return the text without what a table, JSON or a terminal refuses, cut to PRINTABLE_CHARACTERS."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")[:PRINTABLE_CHARACTERS]


def parse_text(value: str, column: str, field: str) -> str:
    """Return the cell's text without surrounding blanks. Raises BadRow if the table cannot hold it."""
    value = value.strip()
    if len(value) > MAX_CHARACTERS[field]:
        raise BadRow(column, f"must have at most {MAX_CHARACTERS[field]} characters (got {len(value)})")
    if any("\udc80" <= letter <= "\udcff" or letter == "\0" for letter in value):
        raise BadRow(column, "is not UTF-8; save the file as UTF-8")
    return value


def parse_count(value: str, column: str) -> Count | None:
    """Return the cell's number, or None if the cell is empty. Raises BadRow if it holds anything else."""
    if "_" in value:  # int() reads 1_0 as 10
        raise _not_a_number(value, column)
    try:
        return int(value)
    except ValueError:
        pass
    value = value.strip()
    if not value:
        return None
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value):
        raise _not_a_number(value, column)
    count = float(value)
    if not math.isfinite(count):
        raise _not_a_number(value, column)
    return int(count) if count.is_integer() else count


def _not_a_number(value: str, column: str) -> BadRow:
    return BadRow(column, f"must be a number (got {value[:40]!r})")


def parse_date(value: str, column: str) -> date:
    """Return the cell's date, written as 2026-01-31. Raises BadRow if it holds anything else."""
    try:
        if len(value.strip()) == 10:
            return date.fromisoformat(value.strip())
    except ValueError:
        pass
    raise BadRow(column, f"must be a date such as 2026-01-31 (got {value[:40]!r})")
