"""The columns of a file and what each one holds, from the header, the format and the operator's mapping. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, NamedTuple

from core.errors import WrongInput
from providers.gamelogs.box_score import STATISTICS, BadRow, Count, Log, parse_count, parse_date, parse_text, printable

Row = Sequence[str]
COLUMNS_NAMED = 12  # in a message; further columns are counted


class TeamWeek(NamedTuple):
    """A team in one week of a season: it plays one game there."""

    season: str
    week: str
    team: str


class ScheduledGame(NamedTuple):
    """A game of a schedule, and its date as the file has it."""

    game: str
    played_on: str


Schedule = Mapping[TeamWeek, ScheduledGame]


@dataclass(frozen=True, slots=True)
class Layout:
    """The column names of a format.

    fields: for each field of a box score the names that a column of it may have; the first one in the header counts.
    required_fields: fields that every file must have.
    required_columns: further columns that every file must have.
    """

    fields: Mapping[str, Sequence[str]]
    required_fields: Sequence[str]
    required_columns: Sequence[str] = ()


PLAIN = Layout(
    {
        "player": ("player", "player_name", "name"),
        "player_id": ("player_id",),
        "team": ("team",),
        "position": ("position",),
        "game": ("game", "game_id"),
        "played_on": ("played_on", "date", "game_date"),
        "game_number": ("game_number",),
    },
    required_fields=("player", "game", "played_on"),
)
FIELDS = PLAIN.fields.keys()  # every field that a mapping may name

# nflverse's column names, older and newer ones.
NFLVERSE = Layout(
    {
        "player": ("player_display_name",),
        "player_id": ("player_id",),
        "team": ("recent_team", "team"),
        "position": ("position_group", "position"),
    },
    required_fields=("player", "team"),
    required_columns=("season", "week"),
)
# nflverse's statistics, and the names that they have here. Touchdowns are the player's own; sacks are counted for
# the passer who took them. Columns of one statistic are added up.
NFLVERSE_STATISTICS = {
    "passing_yards": "passing_yards",
    "rushing_yards": "rushing_yards",
    "rushing_tds": "touchdowns",
    "receiving_tds": "touchdowns",
    "special_teams_tds": "touchdowns",
    "receptions": "receptions",
    "sacks": "sacks",
    "sacks_suffered": "sacks",
    "completions": "completions",
    "attempts": "attempts",
    "interceptions": "interceptions",
    "passing_interceptions": "interceptions",
    "receiving_yards": "receiving_yards",
    "targets": "targets",
    "carries": "carries",
    "passing_tds": "passing_touchdowns",
}


class StatisticColumn(NamedTuple):
    """A column that counts a statistic: its place in the row, its name in the header, and the statistic."""

    place: int
    name: str
    statistic: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one file. fields: for each field that the file has, its place in the row."""

    header: Sequence[str]
    fields: Mapping[str, int]
    statistics: Sequence[StatisticColumn]

    def unused(self) -> tuple[str, ...]:
        """Return the names of the columns that hold nothing known."""
        used = {*self.fields.values(), *(column.place for column in self.statistics)}
        return tuple(name for place, name in enumerate(self.header) if place not in used)

    def text(self, row: Row, field: str) -> str:
        """Return the field's text, or an empty text if the file has no column for it."""
        if field not in self.fields:
            return ""
        place = self.fields[field]
        return parse_text(row[place], self.header[place], field)

    def required_text(self, row: Row, field: str) -> str:
        text = self.text(row, field)
        if not text:
            raise BadRow(self.header[self.fields[field]], "must not be empty")
        return text

    def played_on(self, row: Row) -> date:
        place = self.fields["played_on"]
        return parse_date(row[place], self.header[place])

    def game_number(self, row: Row) -> int:
        """Return the number of a double-header's game, from 1; 0 is a day's only game, or one without a number."""
        if "game_number" not in self.fields:
            return 0
        place = self.fields["game_number"]
        number = parse_count(row[place], self.header[place]) or 0
        if number not in range(10):
            raise BadRow(self.header[place], f"must be a game's number of the day, 0 to 9 (got {row[place][:40]!r})")
        return int(number)

    def stats(self, row: Row) -> dict[str, Count]:
        """Return the statistics of the row. Columns of one statistic are added up; an empty cell counts for nothing."""
        stats: dict[str, Count] = {}
        for place, name, statistic in self.statistics:
            count = parse_count(row[place], name)
            if count is not None:
                stats[statistic] = stats.get(statistic, 0) + count
        if not stats:
            raise BadRow(self.statistics[0].name, "the row must have a statistic (got none)")
        return stats


@dataclass(frozen=True, slots=True)
class PlainReader:
    """Turns the rows of a file with one column per field and statistic into game logs."""

    format: ClassVar[str] = "plain"
    columns: Columns

    def read(self, row: Row) -> Log:
        """Return the row's game log. Raises BadRow."""
        columns = self.columns
        player, game = columns.required_text(row, "player"), columns.required_text(row, "game")
        played_on = columns.played_on(row)
        return Log(
            player_id=columns.text(row, "player_id") or player,
            player=player,
            team=columns.text(row, "team"),
            position=columns.text(row, "position"),
            game=game,
            played_on=played_on,
            stats=columns.stats(row),
            game_number=columns.game_number(row),
        )


@dataclass(frozen=True, slots=True)
class NflverseReader:
    """Turns the rows of nflverse's player statistics into game logs, with dates and games from its schedule."""

    format: ClassVar[str] = "nflverse"
    columns: Columns
    schedule: Schedule
    season: int  # place of the column
    week: int

    def read(self, row: Row) -> Log:
        """Return the row's game log. Raises BadRow."""
        columns = self.columns
        player, team = columns.required_text(row, "player"), columns.text(row, "team")
        # The team alone finds the game, since it plays once a week: for some special-teams rows the opponent is wrong.
        scheduled = self.schedule.get(TeamWeek(row[self.season].strip(), row[self.week].strip(), team))
        if scheduled is None:
            reason = f"the schedule has no game of {team} in week {row[self.week]} of {row[self.season]}"
            raise BadRow("week", reason[:200])
        return Log(
            player_id=columns.text(row, "player_id") or player,
            player=player,
            team=team,
            position=columns.text(row, "position"),
            game=scheduled.game,
            played_on=parse_date(scheduled.played_on, "gameday"),
            stats=columns.stats(row),
        )


Reader = PlainReader | NflverseReader


def valid_mapping(value: object) -> dict[str, str]:
    """Return the operator's mapping of column to statistic or field, as JSON gave it. Raises WrongInput."""
    remedy = 'write it as {"PTS": "points"}'
    if not isinstance(value, dict):
        raise WrongInput(f"the mapping must be columns to statistics (got a {type(value).__name__})", remedy)
    for column, statistic in value.items():
        if not isinstance(statistic, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", statistic):
            raise WrongInput(
                f"the statistic of column {printable(column)[:60]} must be 1 to 40 lower-case letters, digits and _, "
                f"with a letter first (got {printable(repr(statistic)[:60])})",
                remedy,
            )
    return value


def is_nflverse(header: Sequence[str]) -> bool:
    return {"player_display_name", "season", "week"} <= set(header)


def make_reader(
    header: Sequence[str], sport: str, format: str, mapping: Mapping[str, str], schedule: Schedule | None
) -> Reader:
    """Return the reader for a file with this header.

    format: `plain`, `nflverse`, or empty to choose by the header.
    Raises WrongInput if the header lacks a required column, or the mapping names a column that the file does not have.
    """
    header = [column.strip() for column in header]
    _check_names(header, mapping)
    format = format or ("nflverse" if is_nflverse(header) else "plain")
    if format == PlainReader.format:
        names = {statistic: statistic for statistic in STATISTICS.get(sport, ())} | dict(mapping)
        return PlainReader(_find_columns(header, PLAIN, names, mapping, sport))
    columns = _find_columns(header, NFLVERSE, NFLVERSE_STATISTICS | dict(mapping), mapping, sport)
    if sport != "NFL":
        raise WrongInput(
            f"cannot import nflverse's player statistics as {sport}: they are of the NFL", "use --sport NFL"
        )
    if schedule is None:
        raise WrongInput(
            "cannot import nflverse's player statistics: they hold no dates and games",
            "add its schedule file: --schedule games.csv",
        )
    return NflverseReader(columns, schedule, season=header.index("season"), week=header.index("week"))


def _check_names(header: Sequence[str], mapping: Mapping[str, str]) -> None:
    repeated = {column for column in header if column and header.count(column) > 1}
    if repeated:
        raise WrongInput(
            f"cannot read the header: it names {', '.join(sorted(repeated))} more than once", "name each column once"
        )
    missing = [column for column in mapping if column not in header]
    if missing:
        raise WrongInput(
            f"cannot use the mapping: the file has no column {', '.join(missing)}",
            f"use its columns: {first_columns(header)}",
        )


def _find_columns(
    header: Sequence[str], layout: Layout, names: Mapping[str, str], mapping: Mapping[str, str], sport: str
) -> Columns:
    """Return the columns of the file.

    names: the statistic of each column that may hold one.
    Raises WrongInput if the file lacks a required column or has no statistic.
    """
    fields = _find_fields(header, layout, mapping)
    statistics = [
        StatisticColumn(place, column, names[column])
        for place, column in enumerate(header)
        if column in names and names[column] not in FIELDS and place not in fields.values()
    ]
    missing = [
        f"{field} ({' or '.join(layout.fields[field])})" for field in layout.required_fields if field not in fields
    ]
    missing += [column for column in layout.required_columns if column not in header]
    if missing or not statistics:
        lacks = f"column for {', '.join(missing)}" if missing else f"column with a statistic of {sport}"
        raise WrongInput(
            f"cannot import the file: it has no {lacks}", f"map one of its columns with --map: {first_columns(header)}"
        )
    return Columns(header, fields, statistics)


def _find_fields(header: Sequence[str], layout: Layout, mapping: Mapping[str, str]) -> dict[str, int]:
    """Return the place of each field's column: a mapped column counts before the layout's names."""
    fields: dict[str, int] = {}
    for field, names in layout.fields.items():
        present = [name for name in names if name in header]
        if present:
            fields[field] = header.index(present[0])
    for column, field in mapping.items():
        if field in FIELDS:
            fields[field] = header.index(column)
    return fields


def first_columns(header: Sequence[str]) -> str:
    """Return the names of the first columns, and the number of the others."""
    others = len(header) - COLUMNS_NAMED
    names = ", ".join(header[:COLUMNS_NAMED])
    return f"{names} and {others} more" if others > 0 else names
