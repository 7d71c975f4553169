"""The restore of a snapshot, all or nothing.

If few rows of a table differ, or other tables reference it, only the differing rows are written. Otherwise the whole
table is loaded beside the old one and replaces it.
"""

from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import IO, Literal, NotRequired, TypedDict

from django.db import IntegrityError, connection, transaction
from django.db.models.fields import NOT_PROVIDED

from core.access.actors import Machine
from core.access.audit import acting
from core.db.append_only import allow_rewrite
from core.errors import SlipwayError
from rollout.models import RecoveryRun
from rollout.recovery import runner
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.locks import LockMode, with_locks
from rollout.recovery.postgres.tables import continue_numbering, copy_in, execute, highest_number, incoming_foreign_keys
from rollout.recovery.protect import notify_rows_replaced, protected
from rollout.recovery.restore import table_swap
from rollout.recovery.restore.diff import ChangeCounts, RowChange
from rollout.recovery.restore.sources import TableSource, matches_snapshot, open_changes
from rollout.recovery.snapshots.manifest import read_blocks

SPOOL_BYTES = 8 << 20  # differing rows that are kept in memory; more go to a file
# A table is replaced if more rows differ than this, and more than a quarter of the snapshot's rows.
REPLACE_ABOVE_ROWS = 1000
CHANGES_TABLE = "restoring"  # temporary
Method = Literal["as it was", "rows", "replaced"]


class ContentDiffers(SlipwayError):
    """A restored table does not have the content hash of the snapshot."""


class RestoredTable(TypedDict):
    """The result of the restore of one table."""

    added: int
    changed: int
    removed: int
    how: Method
    with_them: NotRequired[dict[str, int]]  # deleted rows of other tables, which referenced removed rows


class RestoredTables(TypedDict):
    """The evidence of the step `restore`: JSON whose keys stay, because old rows hold them too."""

    tables: dict[str, RestoredTable]
    not_comparable: list[str]  # tables whose content hash proves nothing


def restore_tables(run: RecoveryRun, step: str, sources: Sequence[TableSource]) -> None:
    """Restore the tables and compare their content hashes, in one transaction that also ends the step as done.

    Tables that already have the snapshot's content are not locked.
    Raises BlockedBySessions, ContentDiffers, UnusableSnapshot.
    """
    for source in sources:
        source.verify_file()
    differing = [source for source in sources if not matches_snapshot(source)]

    def restore_differing() -> None:
        with runner.finishing(run, step) as evidence, acting(Machine(run.actor), "restore"):
            allow_rewrite()
            tables = {source.protection.table: _describe(ChangeCounts(), "as it was") for source in sources}
            tables |= {source.protection.table: _restore_table(source, run) for source in differing}
            execute(sql.CONSTRAINTS_IMMEDIATE)
            unproven = [source.protection.table for source in sources if not _has_proven_content(source)]
            evidence.update(RestoredTables(tables=tables, not_comparable=unproven))
            notify_rows_replaced(source.protection.model for source in sources)

    locks = {LockMode.EXCLUSIVE: [source.table for source in differing]}
    with_locks(locks, restore_differing)


def _has_proven_content(source: TableSource) -> bool:
    """Return whether the content hash proves the restore. Raise ContentDiffers if it disproves it.

    The hash proves nothing if it covers a column that the table lacks, or rows that a restore neither adds nor removes.
    """
    is_equal = matches_snapshot(source)
    if is_equal is False and not source.protection.keeps_rows:
        raise ContentDiffers(
            f"cannot restore {source.protection.table}: its restored rows do not have the snapshot's content hash; "
            "nothing was changed",
            f"choose another snapshot, or report this if its files are good: manage.py snapshot verify {source.folder}",
        )
    return bool(is_equal)


def _restore_table(source: TableSource, run: RecoveryRun) -> RestoredTable:
    """Write the differing rows, or replace the table. Return what was changed, and how."""
    counts = ChangeCounts()
    has_every_column = set(source.columns) == set(source.protection.columns)
    limit: int | None = None  # rows
    if has_every_column and table_swap.can_replace(source.table):
        limit = max(REPLACE_ABOVE_ROWS, source.file.rows // 4)
    with SpooledTemporaryFile(SPOOL_BYTES) as spool:
        with open_changes(source) as changes:
            for change, row in changes:
                counts.count(change)
                if limit is None or counts.total <= limit:
                    spool.write(change.value.encode() + b"\t" + row)  # a row of the table of changes
        if limit is not None and counts.total > limit:
            table_swap.replace_table(source, f"restoring_{run.pk}")
            return _describe(counts, "replaced")
        if not counts.total:
            return _describe(counts, "as it was")
        spool.seek(0)
        deleted = _write_changes(source, spool)
    restored = _describe(counts, "rows")
    if deleted:
        restored["with_them"] = deleted
    return restored


def _describe(counts: ChangeCounts, how: Method) -> RestoredTable:
    return RestoredTable(added=counts.added, changed=counts.changed, removed=counts.removed, how=how)


def _write_changes(source: TableSource, spool: IO[bytes]) -> dict[str, int]:
    """Write the changes in the spool to the table. Return how many rows of other tables were deleted with its rows."""
    table, key, changes = source.table, sql.quoted(source.key), sql.quoted(CHANGES_TABLE)
    columns = sql.quoted_list(source.columns)
    execute(sql.CREATE_CHANGES.format(changes=changes, columns=columns, table=table))
    copy_in(sql.COPY_IN_CHANGES.format(changes=changes), read_blocks(spool))
    removed_keys = sql.REMOVED_KEYS.format(key=key, changes=changes)
    deleted: dict[str, int] = {}
    _delete_dependents(table, removed_keys, deleted)
    execute(sql.DELETE_KEYS.format(table=table, column=key, keys=removed_keys))
    _update_rows(source, changes)
    _insert_rows(source, changes, RowChange.ADD)
    continue_numbering(table, source.key, highest_number(table, source.key))
    execute(sql.DROP_TABLE.format(table=changes))
    return deleted


def _update_rows(source: TableSource, changes: str) -> None:
    """Update the changed rows. If rows swapped a unique value, delete and insert them instead."""
    columns = [column for column in source.columns if column in source.protection.lasting and column != source.key]
    assignments = ", ".join(f"{sql.quoted(column)} = change.{sql.quoted(column)}" for column in columns)
    names = {"table": source.table, "changes": changes, "key": sql.quoted(source.key)}
    try:
        with transaction.atomic():
            execute(sql.UPDATE_CHANGED.format(assignments=assignments, **names))
    except IntegrityError:
        execute(sql.DELETE_CHANGED.format(**names))
        _insert_rows(source, changes, RowChange.CHANGE)


def _insert_rows(source: TableSource, changes: str, change: RowChange) -> None:
    """Insert the rows with this change. A column that the snapshot does not have gets its default."""
    defaults = {
        field.column: field.get_db_prep_save(field.get_default(), connection)
        for field in source.protection.model._meta.local_concrete_fields
        if field.column not in source.columns and field.db_default is NOT_PROVIDED
    }
    columns = sql.quoted_list([*source.columns, *defaults])
    values = ", ".join([*map(sql.quoted, source.columns), *["%s"] * len(defaults)])
    statement = sql.INSERT_CHANGES.format(table=source.table, columns=columns, values=values, changes=changes)
    execute(statement, [*defaults.values(), change.value])


def _delete_dependents(table: str, keys: str, deleted: dict[str, int]) -> None:
    """Delete the rows of unprotected tables, such as logs and lines, that reference rows which will be removed.

    table: quoted.
    keys: a query for the keys of the rows that will be removed.
    deleted: gets the number of deleted rows by table.
    """
    restored = {each.table for each in protected()}
    for child, column, child_key in incoming_foreign_keys(table):
        if child in restored:
            continue
        names = {"table": sql.quoted(child), "column": sql.quoted(column), "keys": keys}
        _delete_dependents(sql.quoted(child), sql.REFERENCING_KEYS.format(key=sql.quoted(child_key), **names), deleted)
        with connection.cursor() as cursor:
            cursor.execute(sql.DELETE_KEYS.format(**names))
            if cursor.rowcount:
                deleted[child] = deleted.get(child, 0) + cursor.rowcount
