"""Which column of a file holds what: from its header, its format and the operator's mapping. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import WrongInput
from providers.gamelogs.rows import STATISTICS, BadRow, Count, Log, day, number, printable, text

Schedule = Mapping[tuple[str, str, str], tuple[str, str]]  # season, week, team: to game and date
Row = Sequence[str]

FIELDS = {
    "player": ("player", "player_name", "name"),
    "player_id": ("player_id",),
    "team": ("team",),
    "position": ("position",),
    "game": ("game", "game_id"),
    "played_on": ("played_on", "date", "game_date"),
    "game_number": ("game_number",),
}
REQUIRED = ("player", "game", "played_on")

# nflverse's names, older and newer, and our own: touchdowns are a player's own, sacks those the passer took.
NFLVERSE_FIELDS = {
    "player": ("player_display_name",),
    "player_id": ("player_id",),
    "team": ("recent_team", "team"),
    "position": ("position_group", "position"),
}
NFLVERSE = {
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


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns a row into a Log, or raises BadRow."""

    format: str
    read: Callable[[Row], Log]
    ignored: tuple[str, ...]  # columns that hold nothing we know


def valid_mapping(value: object) -> dict[str, str]:
    """The operator's mapping, as it came out of JSON. Raises WrongInput."""
    remedy = 'write it as {"PTS": "points"}'
    if not isinstance(value, dict):
        raise WrongInput("the mapping must be columns to statistics", remedy)
    for column, name in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
            shown = printable(repr(name)[:60])
            raise WrongInput(f"the mapping of {printable(column)[:60]} to {shown} names no statistic", remedy)
    return value


def is_nflverse(header: Sequence[str]) -> bool:
    return {"player_display_name", "season", "week"} <= set(header)


def reader(
    header: Sequence[str], sport: str, format: str, mapping: Mapping[str, str], schedule: Schedule | None
) -> Reader:
    """Raises WrongInput where the header lacks what is needed, or the mapping names what it has not."""
    header = [column.strip() for column in header]
    if twice := {column for column in header if column and header.count(column) > 1}:
        raise WrongInput(f"the header names {', '.join(sorted(twice))} twice", "name each column once")
    if missing := [column for column in mapping if column not in header]:
        raise WrongInput(
            f"the mapping names columns that the file lacks: {', '.join(missing)}", f"it has {some(header)}"
        )
    format = format or ("nflverse" if is_nflverse(header) else "plain")
    nflverse = format == "nflverse"
    names = NFLVERSE_FIELDS if nflverse else FIELDS
    fields = _fields(header, names, mapping)
    known = NFLVERSE if nflverse else {statistic: statistic for statistic in STATISTICS.get(sport, ())}
    chosen = {**known, **mapping}
    statistics = [
        (i, column, chosen[column])
        for i, column in enumerate(header)
        if column in chosen and chosen[column] not in FIELDS and i not in fields.values()
    ]
    needed = ("player", "team") if nflverse else REQUIRED
    lacking = [f"{field} ({' or '.join(names[field])})" for field in needed if field not in fields]
    lacking += [column for column in ("season", "week") if nflverse and column not in header]
    if lacking or not statistics:
        what = f"columns for {', '.join(lacking)}" if lacking else f"any statistic of {sport}"
        raise WrongInput(f"the file lacks {what}", f"it has {some(header)}; map others with --map")
    used = {*fields.values(), *(i for i, _, _ in statistics)}
    ignored = tuple(column for i, column in enumerate(header) if i not in used)
    if not nflverse:
        return Reader(format, _plain(header, fields, statistics), ignored)
    if sport != "NFL":
        raise WrongInput("nflverse's player statistics are of the NFL", "say --sport NFL")
    if schedule is None:
        raise WrongInput("nflverse's player statistics hold no dates and games", "add its schedule file: --schedule F")
    return Reader(format, _nflverse(header, fields, statistics, schedule), ignored)


def _fields(header: Sequence[str], names: Mapping[str, Sequence[str]], mapping: Mapping[str, str]) -> dict[str, int]:
    """Field to the number of its column: a mapped one first, then the first of its names that is there."""
    mapped = {field: header.index(column) for column, field in mapping.items() if field in FIELDS}
    found = {field: header.index(name) for field, known in names.items() for name in reversed(known) if name in header}
    return {**found, **mapped}


def some(header: Sequence[str]) -> str:
    """The names, the first dozen of them."""
    return ", ".join(header[:12]) + (f" and {len(header) - 12} more" if len(header) > 12 else "")


Cells = list[tuple[int, str, str]]  # number of the column, its name, the statistic


def _cell(header: Sequence[str], fields: Mapping[str, int]) -> Callable[[Row, str], str]:
    """Reads a field's text out of a row; empty where the file has no column for it."""

    def cell(row: Row, field: str) -> str:
        return text(row[fields[field]], header[fields[field]], field) if field in fields else ""

    return cell


def _plain(header: Sequence[str], fields: Mapping[str, int], statistics: Cells) -> Callable[[Row], Log]:
    cell = _cell(header, fields)

    def read(row: Row) -> Log:
        player, game = cell(row, "player"), cell(row, "game")
        for field, value in (("player", player), ("game", game)):
            if not value:
                raise BadRow(header[fields[field]], "empty")
        played_on = day(row[fields["played_on"]], header[fields["played_on"]])
        of_player = cell(row, "player_id") or player, player, cell(row, "team"), cell(row, "position")
        return Log(*of_player, game, played_on, _stats(row, statistics), _which(row, header, fields))

    return read


def _nflverse(
    header: Sequence[str], fields: Mapping[str, int], statistics: Cells, schedule: Schedule
) -> Callable[[Row], Log]:
    season, week = header.index("season"), header.index("week")
    cell = _cell(header, fields)

    def read(row: Row) -> Log:
        player, team = cell(row, "player"), cell(row, "team")
        if not player:
            raise BadRow(header[fields["player"]], "empty")
        # By the team alone, which plays once a week: for some special-teams rows the opponent is wrong.
        found = schedule.get((row[season].strip(), row[week].strip(), team))
        if found is None:
            raise BadRow("week", f"the schedule has no game of {team} in week {row[week]} of {row[season]}"[:200])
        of_player = cell(row, "player_id") or player, player, team, cell(row, "position")
        game, played_on = found
        return Log(*of_player, game, day(played_on, "gameday"), _stats(row, statistics))

    return read


def _which(row: Row, header: Sequence[str], fields: Mapping[str, int]) -> int:
    """A double-header's games count from 1; a day's only game is 0, as is one that has no number."""
    if "game_number" not in fields:
        return 0
    place = fields["game_number"]
    value = number(row[place], header[place]) or 0
    if value not in range(10):
        raise BadRow(header[place], f"{row[place][:40]!r} is no number of a day's games")
    return int(value)


def _stats(row: Row, statistics: Cells) -> dict[str, Count]:
    """Columns of one statistic add up; a cell that is empty counts for nothing."""
    stats: dict[str, Count] = {}
    for i, column, statistic in statistics:
        value = number(row[i], column)
        if value is not None:
            stats[statistic] = stats.get(statistic, 0) + value
    if not stats:
        raise BadRow(statistics[0][1], "no statistic at all in this row")
    return stats
