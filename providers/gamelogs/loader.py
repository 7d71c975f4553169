"""Bring box scores into the table: all of them, or none."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from core.errors import SlipwayError
from providers.gamelogs import sql
from providers.gamelogs.files import Item
from providers.gamelogs.rows import Bad

NAMED = 100  # bad rows that are named; the others are counted
BATCH = 2000  # rows held at a time


@dataclass(slots=True)
class Imported:
    source: str
    sport: str
    rows: int = 0  # good ones
    created: int = 0
    updated: int = 0
    bad_count: int = 0
    bad: list[Bad] = field(default_factory=list)  # the first hundred
    ignored: tuple[str, ...] = ()  # columns
    dry_run: bool = False

    @property
    def unchanged(self) -> int:
        return self.rows - self.created - self.updated

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"unchanged": self.unchanged}

    def note(self, bad: Bad) -> None:
        self.bad_count += 1
        if len(self.bad) < NAMED:
            self.bad.append(bad)


class BadFile(SlipwayError):
    """The file has bad rows, and nothing was stored."""

    exit_code = 1

    def __init__(self, imported: Imported) -> None:
        first, rows = imported.bad[0], "row" if imported.bad_count == 1 else "rows"
        problem = f"{imported.bad_count} bad {rows}, nothing stored: {first}"
        super().__init__(problem, "mend the file, or leave them out with --skip-bad")
        self.imported = imported


_concerned: list[Callable[[str], object]] = []


def tell_of_new_logs(listener: Callable[[str], object]) -> None:
    """Call it with the sport whenever an import has changed its box scores, inside the import's transaction."""
    _concerned.append(listener)


def load(
    items: Iterable[Item],
    imported: Imported,
    *,
    skip_bad: bool,
    progress: Callable[[int], None] = lambda rows: None,
) -> Imported:
    """Store the logs in one transaction. Raises BadFile, with nothing stored, for bad rows unless they are skipped."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.INCOMING)
        rows = _good(items, imported)
        while batch := list(islice(rows, BATCH)):  # read first, as an uploaded file comes over this very connection
            with cursor.copy(sql.COPY) as copy:
                for row in batch:
                    copy.write_row(row)
            progress(imported.rows)
        _note_twice(cursor, imported)
        if imported.bad and not skip_bad:
            raise BadFile(imported)
        cursor.execute(sql.DROP_TWICE)
        cursor.execute(sql.STORE, {"source": imported.source, "sport": imported.sport})
        imported.created, imported.updated = cursor.fetchone()
        if imported.created or imported.updated:
            for listener in _concerned:
                listener(imported.sport)
        transaction.set_rollback(imported.dry_run)
    return imported


def _good(items: Iterable[Item], imported: Imported) -> Iterator[tuple[Any, ...]]:
    encode = msgspec.json.encode
    for line, log in items:
        if isinstance(log, Bad):
            imported.note(log)
            continue
        imported.rows += 1
        stats = encode(log.stats).decode()
        yield line, log.player_id, log.player, log.team, log.position, log.game, log.played_on, stats, log.game_number


def _note_twice(cursor: CursorWrapper, imported: Imported) -> None:
    """A player's second row of one game is bad; the first one counts."""
    cursor.execute(sql.TWICE, {"named": NAMED})
    twice = 0
    for line, first, count in cursor.fetchall():
        imported.bad.append(Bad(line, "", f"the same player and game as line {first}"))
        twice = count
    if twice:
        imported.rows -= twice
        imported.bad_count += twice
        imported.bad = sorted(imported.bad, key=lambda bad: bad.line)[:NAMED]
