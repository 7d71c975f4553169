"""A box score as every source gives it, and what can be wrong with a row. Values only."""

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
LONGEST = {"player_id": 64, "player": 100, "team": 100, "position": 16, "game": 64}  # as the table's columns
Count = int | float


@dataclass(frozen=True, slots=True)
class Log:
    player_id: str
    player: str
    team: str
    position: str
    game: str
    played_on: date
    stats: dict[str, Count]
    game_number: int = 0


class BadRow(Exception):
    """BadRow(column, reason). The reason may hold a cell's text, whatever bytes the file had there."""


def printable(text: str) -> str:
    """The text as tables, JSON and terminals take it."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")[:300]


@dataclass(frozen=True, slots=True)
class Bad:
    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.reason}"


def text(value: str, column: str, field: str) -> str:
    """Raises BadRow for what the table cannot hold."""
    value = value.strip()
    if len(value) > LONGEST[field]:
        raise BadRow(column, f"longer than {LONGEST[field]} characters")
    if any("\udc80" <= letter <= "\udcff" or letter == "\0" for letter in value):
        raise BadRow(column, "not UTF-8; save the file in that encoding")
    return value


def number(value: str, column: str) -> Count | None:
    """A count; None where the cell is empty. Raises BadRow."""
    try:
        return int(value) if "_" not in value else _no_number(value, column)
    except ValueError:
        pass
    value = value.strip()
    if not value:
        return None
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value):
        return _no_number(value, column)
    found = float(value)
    if not math.isfinite(found):
        return _no_number(value, column)
    return int(found) if found.is_integer() else found


def _no_number(value: str, column: str) -> Count:
    raise BadRow(column, f"{value[:40]!r} is no number")


def day(value: str, column: str) -> date:
    """Raises BadRow."""
    try:
        if len(value.strip()) == 10:
            return date.fromisoformat(value.strip())
    except ValueError:
        pass
    raise BadRow(column, f"{value[:40]!r} is no date; write it as 2026-01-31")
