"""Read CSV files of any size, a row at a time."""

import csv
import io
from collections import deque
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from core.errors import WrongInput
from providers.gamelogs.columns import Reader, Schedule, reader
from providers.gamelogs.rows import Bad, BadRow, Log, printable

LONGEST_LINE = 256 * 1024  # characters
SCHEDULED = 50_000  # games; a season has less than three hundred
Item = tuple[int, Log | Bad]  # the line where it begins, and what it holds
Row = tuple[int, list[str] | Bad]


def open_logs(
    file: BinaryIO,
    sport: str,
    format: str = "",
    mapping: Mapping[str, str] | None = None,
    schedule: Schedule | None = None,
) -> tuple[Reader, Iterator[Item]]:
    """The file's columns, and its rows as they are read. Raises WrongInput where the header cannot be used."""
    rows = _Rows(file)
    found = reader(_header(rows), sport, format, mapping or {}, schedule)
    return found, _logs(rows, found)


def read_schedule(file: BinaryIO) -> Schedule:
    """nflverse's schedule: which game each team plays in a week, and when. Raises WrongInput."""
    rows = _Rows(file)
    header = _header(rows)
    columns = ("season", "week", "home_team", "away_team", "game_id", "gameday")
    if missing := [column for column in columns if column not in header]:
        raise WrongInput(f"the schedule lacks the columns {', '.join(missing)}", "take nflverse's games.csv")
    places = [header.index(column) for column in columns]
    games: dict[tuple[str, str, str], tuple[str, str]] = {}
    for line, row in rows:
        if isinstance(row, Bad) or len(games) > 2 * SCHEDULED:
            raise WrongInput(f"the schedule's line {line} cannot be read", "take nflverse's games.csv as it is")
        season, week, home, away, game, on = (row[place].strip() for place in places)
        games[season, week, home] = games[season, week, away] = game, on
    return games


class _Rows:
    """The header, then each row. Bytes that are not UTF-8 stay recognisable, so that their place can be named."""

    def __init__(self, file: BinaryIO) -> None:
        self.text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self.number = 0  # lines given out and not taken back
        self.own: list[str] = []  # the lines of the row at hand
        self.again: deque[str] = deque()
        self.width = 0
        self.cells = csv.reader(self._lines(), strict=True)

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> Row:
        try:
            row: list[str] = []
            while not row:  # a blank line is no row
                self.own, line = [], self.number + 1
                row = next(self.cells)
        except StopIteration:
            self.text.detach()  # the file is the caller's to close
            raise
        except csv.Error as error:
            self.take_back()
            return line, Bad(line, "", f"no CSV: {error}")
        self.width = self.width or len(row)
        if len(row) != self.width:
            self.take_back()
            return line, Bad(line, "", f"{len(row)} cells where the header has {self.width}")
        return line, row

    def take_back(self) -> None:
        """A bad row's lines but its first are rows of their own: a stray quote takes more of them than are its own."""
        self.again.extendleft(reversed(self.own[1:]))
        self.number -= len(self.own) - 1
        self.cells = csv.reader(self._lines(), strict=True)

    def _lines(self) -> Iterator[str]:
        while line := self.again.popleft() if self.again else self.text.readline(LONGEST_LINE):
            self.number += 1
            if len(line) >= LONGEST_LINE:
                raise WrongInput(f"line {self.number} is longer than {LONGEST_LINE} characters", "is it a CSV file?")
            self.own.append(line)
            yield line


def _header(rows: _Rows) -> list[str]:
    _, header = next(rows, (0, []))
    if isinstance(header, Bad) or not header:
        raise WrongInput("the file holds no header", "its first line must name the columns, separated by commas")
    if any("\udc80" <= letter <= "\udcff" or letter == "\0" for letter in "".join(header)):
        raise WrongInput("the file is not in UTF-8", "save it in that encoding")
    return [column.strip() for column in header]


def _logs(rows: _Rows, reader: Reader) -> Iterator[Item]:
    for line, row in rows:
        if isinstance(row, Bad):
            yield line, row
            continue
        try:
            yield line, reader.read(row)
        except BadRow as bad:
            rows.take_back()
            column, reason = bad.args
            yield line, Bad(line, column, printable(reason))
