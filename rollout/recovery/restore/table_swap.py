"""A table that is loaded beside the old one and then replaces it. Sessions read the old one until then."""

from django.db import OperationalError, transaction
from psycopg import errors

from rollout.recovery.postgres import sql
from rollout.recovery.postgres.locks import PATIENCE_SECONDS, WAIT_MS, WORK_MS, BlockedBySessions, LockMode
from rollout.recovery.postgres.tables import (
    continue_numbering,
    copy_in,
    copy_rights,
    current_schema,
    execute,
    fetch_rows,
    highest_number,
    incoming_foreign_keys,
    tables_referenced_by,
)
from rollout.recovery.restore.sources import TableSource
from rollout.recovery.snapshots.manifest import read_blocks

LOCK_ATTEMPTS = int(PATIENCE_SECONDS * 1000 / WAIT_MS)


def can_replace(table: str) -> bool:
    """Return whether a new table can replace this one: no foreign key references it, and it has no triggers or views.

    table: quoted.
    """
    return not incoming_foreign_keys(table) and not fetch_rows(sql.HAS_DEPENDENTS, {"table": table})[0][0]


def replace_table(source: TableSource, schema: str) -> None:
    """Load the snapshot's rows into a new table, and replace the old one.

    The caller's transaction holds a lock on the old table, so that no other session writes to it.
    schema: the name of a schema for the new table until the swap; it must not exist.
    Raises BlockedBySessions if other sessions do not stop reading the old table in time.
    """
    table, new, new_schema = source.table, sql.quoted(schema, source.protection.table), sql.quoted(schema)
    execute(sql.CREATE_SCHEMA.format(schema=new_schema))
    _create_like(table, new)
    execute(sql.RAISE_INDEX_MEMORY)
    _load(source, new)
    _create_keys_and_indexes(table, new)
    copy_rights(table, new)
    # Dropping the old table drops its foreign keys, which needs the lock on the referenced tables too.
    _lock_whole(", ".join([table, *tables_referenced_by([table])]))
    old_highest = highest_number(table, source.key)
    execute(sql.DROP_TABLE.format(table=table))
    execute(sql.SET_SCHEMA.format(table=new, schema=sql.quoted(current_schema())))
    execute(sql.DROP_SCHEMA.format(schema=new_schema))
    if old_highest is not None:
        continue_numbering(table, source.key, max(old_highest, highest_number(table, source.key) or 0))
    execute(sql.ANALYZE.format(table=table))


def _create_like(old: str, new: str) -> None:
    [(options,)] = fetch_rows(sql.STORAGE_OPTIONS, [old])
    execute(sql.CREATE_LIKE.format(new=new, old=old, options=f" WITH ({options})" if options else ""))


def _load(source: TableSource, new: str) -> None:
    statement = sql.COPY_IN_FROZEN.format(table=new, columns=sql.quoted_list(source.columns))
    with source.open_rows() as rows:
        copy_in(statement, read_blocks(rows) if source.layout.kept is None else map(source.layout.project, rows))


def _create_keys_and_indexes(old: str, new: str) -> None:
    for name, definition in fetch_rows(sql.KEY_DEFINITIONS, [old]):
        execute(sql.ADD_CONSTRAINT.format(table=new, name=sql.quoted(name), definition=definition))
    for name, is_unique, definition in fetch_rows(sql.INDEX_DEFINITIONS, {"table": old}):
        statement = sql.CREATE_UNIQUE_INDEX if is_unique else sql.CREATE_INDEX
        execute(statement.format(name=sql.quoted(name), table=new, definition=definition))


def _lock_whole(tables: str) -> None:
    """Lock the tables against readers too, in short waits, so that no other session queues for long."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            with transaction.atomic():
                execute(sql.SET_LOCK_TIMEOUT.format(milliseconds=WAIT_MS))
                execute(sql.LOCK_TABLES.format(tables=tables, mode=LockMode.ACCESS_EXCLUSIVE.keyword))
            execute(sql.SET_LOCK_TIMEOUT.format(milliseconds=WORK_MS))
            return
        except OperationalError as error:
            if not isinstance(error.__cause__, errors.LockNotAvailable):
                raise
    raise BlockedBySessions(
        f"cannot replace {tables}: other sessions kept reading for {LOCK_ATTEMPTS * WAIT_MS / 1000:g} s",
        "end the long queries, and run the command again",
    )
