"""A table loaded whole beside the old one, which it then takes the place of: readers go on until that moment."""

from typing import TYPE_CHECKING

from django.db import OperationalError, connection, transaction
from psycopg import errors

from rollout.recovery.postgres import sql
from rollout.recovery.postgres.locks import PATIENCE_SECONDS, WAIT_MS, WORK_MS, InTheWay
from rollout.recovery.postgres.tables import (
    copy_rights,
    execute,
    home,
    leading_to,
    led_to,
    number_from,
    numbered,
    rows_of,
)
from rollout.recovery.snapshots.manifest import CHUNK

if TYPE_CHECKING:
    from rollout.recovery.restore.sources import Source

TRIES = int(PATIENCE_SECONDS * 1000 / WAIT_MS)


def is_possible(table: str) -> bool:
    """Nothing points at it, no trigger would have to hear of each row, and nothing hangs on the very table."""
    return not leading_to(table) and not rows_of(sql.HAS_MORE, {"table": table})[0][0]


def replace(source: "Source", schema: str) -> None:
    """Inside the caller's transaction, which lets nobody write. Raises InTheWay where somebody reads for ever."""
    old, name = source.name, source.protection.table
    new = sql.quoted(schema, name)
    execute(f"CREATE SCHEMA {sql.quoted(schema)}")
    [(options,)] = rows_of(sql.OPTIONS, [old])
    execute(f"CREATE TABLE {new} (LIKE {old} {sql.LIKE}){f' WITH ({options})' if options else ''}")
    execute("SET LOCAL maintenance_work_mem = '256MB'")
    _load(source, new)
    for key, definition in rows_of(sql.KEYS, [old]):
        execute(f"ALTER TABLE {new} ADD CONSTRAINT {sql.quoted(key)} {definition}")
    for index, is_unique, definition in rows_of(sql.INDEXES, {"table": old}):
        execute(f"CREATE {'UNIQUE ' if is_unique else ''}INDEX {sql.quoted(index)} ON {new}{definition}")
    copy_rights(old, new)
    # Dropping a foreign key takes the table it leads to as well.
    _lock(", ".join([old, *led_to([old])]))
    highest = numbered(old, source.key)
    execute(f"DROP TABLE {old}")
    execute(f"ALTER TABLE {new} SET SCHEMA {sql.quoted(home())}")
    execute(f"DROP SCHEMA {sql.quoted(schema)}")
    number_from(old, source.key, max(highest or 0, numbered(old, source.key) or 0) if highest is not None else None)
    execute(f"ANALYZE {old}")


def _load(source: "Source", new: str) -> None:
    statement = f"COPY {new} ({sql.listed(source.order)}) FROM STDIN (FREEZE)"
    with source.lines() as lines, connection.cursor() as cursor, cursor.copy(statement) as copy:
        if source.layout.kept is None:
            while block := lines.read(CHUNK):
                copy.write(block)
        else:
            for line in lines:
                copy.write(source.layout.project(line))


def _lock(tables: str) -> None:
    """In short waits, behind which nobody queues for long."""
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                execute(f"SET LOCAL lock_timeout = '{WAIT_MS}ms'")
                execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            execute(f"SET LOCAL lock_timeout = '{WORK_MS}ms'")
            return
        except OperationalError as error:
            if not isinstance(error.__cause__, errors.LockNotAvailable):
                raise
    raise InTheWay(f"somebody reads {tables} all the time", "run it again")
