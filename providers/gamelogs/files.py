"""Read CSV files of any size, a row at a time."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from providers.gamelogs.columns import Reader, Schedule, reader
from providers.gamelogs.logs import Bad, BadRow, Log
from rollout.errors import WrongInput

Item = tuple[int, Log | Bad]  # a line of the file, and what it holds


def open_logs(
    file: BinaryIO,
    sport: str,
    format: str = "",
    mapping: Mapping[str, str] | None = None,
    schedule: Schedule | None = None,
) -> tuple[Reader, Iterator[Item]]:
    """The file's columns, and its rows as they are read. Raises WrongInput where the header cannot be used."""
    rows = _rows(file)
    found = reader(_header(rows), sport, format, mapping or {}, schedule)
    return found, _logs(rows, found)


def read_schedule(file: BinaryIO) -> Schedule:
    """nflverse's schedule: which game each team plays in a week, and when. Raises WrongInput."""
    rows = _rows(file)
    header = _header(rows)
    columns = ("season", "week", "home_team", "away_team", "game_id", "gameday")
    if missing := [column for column in columns if column not in header]:
        raise WrongInput(f"the schedule lacks the columns {', '.join(missing)}", "take nflverse's games.csv")
    places = [header.index(column) for column in columns]
    games: dict[tuple[str, str, str], tuple[str, str]] = {}
    for line, row in rows:
        if isinstance(row, Bad) or len(row) != len(header):
            raise WrongInput(f"the schedule's line {line} cannot be read", "take nflverse's games.csv as it is")
        season, week, home, away, game, on = (row[place].strip() for place in places)
        games[season, week, home] = games[season, week, away] = game, on
    return games


def _rows(file: BinaryIO) -> Iterator[tuple[int, list[str] | Bad]]:
    """Line number and cells. Bytes that are not UTF-8 stay recognisable, so that their place can be named."""
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(lines, strict=True)
    try:
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield rows.line_num, Bad(rows.line_num, "", f"no CSV: {error}")
                continue
            if row:
                yield rows.line_num, row
    finally:
        lines.detach()  # the file is the caller's to close


def _header(rows: Iterator[tuple[int, list[str] | Bad]]) -> list[str]:
    _, header = next(rows, (0, []))
    if isinstance(header, Bad) or not header:
        raise WrongInput("the file holds no header", "its first line must name the columns, separated by commas")
    if any("\udc80" <= letter <= "\udcff" or letter == "\0" for letter in "".join(header)):
        raise WrongInput("the file is not in UTF-8", "save it in that encoding")
    return [column.strip() for column in header]


def _logs(rows: Iterator[tuple[int, list[str] | Bad]], reader: Reader) -> Iterator[Item]:
    for line, row in rows:
        if isinstance(row, Bad):
            yield line, row
        elif len(row) != reader.width:
            yield line, Bad(line, "", f"{len(row)} cells where the header has {reader.width}")
        else:
            try:
                yield line, reader.read(row)
            except BadRow as bad:
                yield line, Bad(line, *bad.args)
