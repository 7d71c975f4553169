"""Storing the box scores of an import: all of them, or none."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from core.chunks import chunks
from core.errors import SlipwayError
from providers.gamelogs import sql
from providers.gamelogs.box_score import RowProblem
from providers.gamelogs.csv_rows import NumberedLog

PROBLEMS_NAMED = 100  # bad rows that are named; further ones are counted
BATCH_ROWS = 2000  # held in memory at a time


@dataclass(slots=True)
class Imported:
    """The result of an import, and the figures of it while it runs.

    rows: good rows, of which `created` were inserted and `updated` changed a row.
    bad: the first PROBLEMS_NAMED bad rows; `bad_count` counts all of them.
    ignored: the file's columns that were not used.
    """

    source: str
    sport: str
    rows: int = 0
    created: int = 0
    updated: int = 0
    bad_count: int = 0
    bad: list[RowProblem] = field(default_factory=list)
    ignored: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def unchanged(self) -> int:
        return self.rows - self.created - self.updated

    def document(self) -> dict[str, Any]:
        """Return the JSON document of the import."""
        return asdict(self) | {"unchanged": self.unchanged}

    def add_problem(self, problem: RowProblem) -> None:
        self.bad_count += 1
        if len(self.bad) < PROBLEMS_NAMED:
            self.bad.append(problem)


class BadFile(SlipwayError):
    """The file has bad rows, and nothing was stored."""

    exit_code = 1

    def __init__(self, imported: Imported) -> None:
        rows = "row" if imported.bad_count == 1 else "rows"
        super().__init__(
            f"cannot import the file: {imported.bad_count} bad {rows}, nothing stored: {imported.bad[0]}",
            "correct the file, or skip bad rows with --skip-bad",
        )
        self.imported = imported


_listeners: list[Callable[[str], object]] = []


def on_new_logs(listener: Callable[[str], object]) -> None:
    """Call `listener` with the sport, in the import's transaction, each time an import changed its box scores."""
    _listeners.append(listener)


def load(
    logs: Iterable[NumberedLog],
    imported: Imported,
    *,
    skip_bad: bool,
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Store the logs in one transaction and return the completed figures. A dry run rolls the transaction back.

    progress: called after each batch with the number of good rows so far.
    Raises BadFile, with nothing stored, if a row is bad and `skip_bad` is False.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.CREATE_INCOMING)
        # Each batch is complete before COPY begins, since an uploaded file is read over this same connection.
        for batch in chunks(_good_rows(logs, imported), BATCH_ROWS):
            with cursor.copy(sql.COPY_INCOMING) as copy:
                for row in batch:
                    copy.write_row(row)
            if progress:
                progress(imported.rows)
        _count_duplicates(cursor, imported)
        if imported.bad and not skip_bad:
            raise BadFile(imported)
        cursor.execute(sql.DELETE_DUPLICATES)
        cursor.execute(sql.STORE_LOGS, {"source": imported.source, "sport": imported.sport})
        imported.created, imported.updated = cursor.fetchone()
        if imported.created or imported.updated:
            for listener in _listeners:
                listener(imported.sport)
        transaction.set_rollback(imported.dry_run)
    return imported


def _good_rows(logs: Iterable[NumberedLog], imported: Imported) -> Iterator[tuple[Any, ...]]:
    """Yield the columns of each good row, in the order of the incoming table. Bad rows go to `imported`."""
    encode = msgspec.json.encode
    for line, log in logs:
        if isinstance(log, RowProblem):
            imported.add_problem(log)
            continue
        imported.rows += 1
        stats = encode(log.stats).decode()
        yield line, log.player_id, log.player, log.team, log.position, log.game, log.played_on, stats, log.game_number


def _count_duplicates(cursor: CursorWrapper, imported: Imported) -> None:
    """Count a player's second row of one game as bad. The first row counts."""
    cursor.execute(sql.FIND_DUPLICATES, {"limit": PROBLEMS_NAMED})
    duplicates = 0
    for line, first, total in cursor.fetchall():
        imported.bad.append(RowProblem(line, "", f"has the same player and game as line {first}"))
        duplicates = total
    if duplicates:
        imported.rows -= duplicates
        imported.bad_count += duplicates
        imported.bad = sorted(imported.bad, key=lambda problem: problem.line)[:PROBLEMS_NAMED]
