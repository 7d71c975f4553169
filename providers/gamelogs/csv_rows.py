"""CSV files of any size, read one row at a time."""

import csv
import io
from collections import deque
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Self

from core.errors import WrongInput
from providers.gamelogs.box_score import BadRow, Log, RowProblem, printable
from providers.gamelogs.columns import Reader, Schedule, ScheduledGame, TeamWeek, make_reader

MAX_LINE_CHARACTERS = 256 * 1024
MAX_SCHEDULED_GAMES = 50_000  # a season has less than three hundred
SCHEDULE_COLUMNS = ("season", "week", "home_team", "away_team", "game_id", "gameday")
NumberedLog = tuple[int, Log | RowProblem]  # the line where a row begins, and what the row holds
NumberedRow = tuple[int, list[str] | RowProblem]


def open_logs(
    file: BinaryIO,
    sport: str,
    format: str = "",
    mapping: Mapping[str, str] | None = None,
    schedule: Schedule | None = None,
) -> tuple[Reader, Iterator[NumberedLog]]:
    """Return the reader of the file's rows, and the game logs. The file is read as the logs are taken.

    Raises WrongInput if the header cannot be used.
    """
    rows = CsvRows(file)
    reader = make_reader(_read_header(rows), sport, format, mapping or {}, schedule)
    return reader, _read_logs(rows, reader)


def read_schedule(file: BinaryIO) -> Schedule:
    """Return nflverse's schedule: the game of each team in each week, and its date. Raises WrongInput."""
    remedy = "use nflverse's games.csv as it is"
    rows = CsvRows(file)
    header = _read_header(rows)
    missing = [column for column in SCHEDULE_COLUMNS if column not in header]
    if missing:
        raise WrongInput(f"cannot read the schedule: it has no column {', '.join(missing)}", remedy)
    places = [header.index(column) for column in SCHEDULE_COLUMNS]
    schedule: dict[TeamWeek, ScheduledGame] = {}
    for line, row in rows:
        if isinstance(row, RowProblem):
            raise WrongInput(f"cannot read line {line} of the schedule: {printable(row.reason)}", remedy)
        if len(schedule) > 2 * MAX_SCHEDULED_GAMES:  # each game is there for both teams
            raise WrongInput(f"cannot read the schedule: it has more than {MAX_SCHEDULED_GAMES} games", remedy)
        season, week, home, away, game, day = (row[place].strip() for place in places)
        scheduled = ScheduledGame(game, day)
        schedule[TeamWeek(season, week, home)] = schedule[TeamWeek(season, week, away)] = scheduled
    return schedule


class CsvRows:
    """The rows of a CSV file, the header first, each with the number of the line where it begins.

    Bytes that are not UTF-8 stay recognizable as lone surrogates, so that an error can name their place.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._stream = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._line_number = 0  # lines that the parser took, without those that were put back
        self._row_lines: list[str] = []  # lines of the current row
        self._lines_put_back: deque[str] = deque()
        self._width = 0  # cells of the header
        self._parser = csv.reader(self._lines(), strict=True)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> NumberedRow:
        try:
            row: list[str] = []
            while not row:  # a blank line is not a row
                self._row_lines, line = [], self._line_number + 1
                row = next(self._parser)
        except StopIteration:
            self._stream.detach()  # the caller closes the file
            raise
        except csv.Error as error:
            self.put_lines_back()
            return line, RowProblem(line, "", f"cannot be read as CSV: {error}")
        self._width = self._width or len(row)
        if len(row) != self._width:
            self.put_lines_back()
            return line, RowProblem(line, "", f"must have {self._width} cells, as the header has (got {len(row)})")
        return line, row

    def put_lines_back(self) -> None:
        """Read the lines of the current row again, except its first one.

        If a row is bad, a stray quote may have joined the lines of good rows to it.
        """
        self._lines_put_back.extendleft(reversed(self._row_lines[1:]))
        self._line_number -= len(self._row_lines) - 1
        self._parser = csv.reader(self._lines(), strict=True)

    def _lines(self) -> Iterator[str]:
        while True:
            if self._lines_put_back:
                line = self._lines_put_back.popleft()
            else:
                line = self._stream.readline(MAX_LINE_CHARACTERS)
            if not line:
                return
            self._line_number += 1
            if len(line) >= MAX_LINE_CHARACTERS:
                raise WrongInput(
                    f"cannot read the file: line {self._line_number} is longer than {MAX_LINE_CHARACTERS} characters",
                    "check that it is a CSV file",
                )
            self._row_lines.append(line)
            yield line


def _read_header(rows: CsvRows) -> list[str]:
    _, header = next(rows, (0, []))
    if isinstance(header, RowProblem) or not header:
        raise WrongInput(
            "cannot read the file: it has no header", "name the columns in its first line, separated by commas"
        )
    if any("\udc80" <= letter <= "\udcff" or letter == "\0" for letter in "".join(header)):
        raise WrongInput("cannot read the file: it is not in UTF-8", "save it as UTF-8")
    return [column.strip() for column in header]


def _read_logs(rows: CsvRows, reader: Reader) -> Iterator[NumberedLog]:
    for line, row in rows:
        if isinstance(row, RowProblem):
            yield line, row
            continue
        try:
            yield line, reader.read(row)
        except BadRow as bad:
            rows.put_lines_back()
            yield line, RowProblem(line, bad.column, printable(bad.reason))
