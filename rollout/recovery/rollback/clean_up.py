"""The clean-up of a standard rollback: what it resets, and the proof that nothing else changed.

All of it is one transaction, in which no other session can write to the protected tables.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from core.access.actors import Machine
from core.access.audit import acting
from core.errors import SlipwayError
from rollout.models import RecoveryRun
from rollout.recovery import runner
from rollout.recovery.evidence import CleanedUpTables, RowCounts
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.locks import LockMode, with_locks
from rollout.recovery.postgres.tables import count_rows
from rollout.recovery.protect import Protection, protected
from rollout.recovery.snapshots import operations
from rollout.recovery.snapshots.table_content import content_hash


class ChangedSinceSnapshot(SlipwayError):
    """Rows changed after the snapshot was taken. Nothing was cleaned up."""


class ChangedTooMuch(SlipwayError):
    """The clean-up changed what it should not. It was rolled back."""


def clean_up(run: RecoveryRun, take_snapshot: Callable[[], object] | None = None) -> None:
    """Reset the protected tables, and prove by content hash that nothing else changed.

    take_snapshot: takes another snapshot before the clean-up, while no other session can write.
    Raises ChangedSinceSnapshot, ChangedTooMuch, BlockedBySessions, UnusableSnapshot.
    """

    def work() -> None:
        if take_snapshot:
            _on_another_connection(take_snapshot)
        manifest = operations.read_manifest(operations.find_snapshot(run.snapshot))
        in_snapshot = {table.table: table.content for table in manifest.tables}
        with runner.finishing(run, "clean_up") as evidence, acting(Machine(run.actor), "rollback"):
            evidence.update(_clean_up_and_prove(in_snapshot))

    tables = [sql.quoted(protection.table) for protection in protected()]
    with_locks({LockMode.EXCLUSIVE: tables}, work)


def _clean_up_and_prove(in_snapshot: dict[str, str]) -> CleanedUpTables:
    """Clean up, and return the evidence. The tables are locked.

    in_snapshot: the content hash of each table in the snapshot.
    """
    before = {protection.table: _hash(protection, protection.lasting) for protection in protected()}
    if changed := sorted(table for table, content in before.items() if in_snapshot.get(table) != content):
        raise ChangedSinceSnapshot(
            f"cannot clean up: rows of {', '.join(changed)} changed after the snapshot was taken",
            "stop the sessions that write there, and run the same command again",
        )
    kept = {protection.table: _kept_hash(protection, before[protection.table]) for protection in protected()}
    rows_before = {protection.table: count_rows(sql.quoted(protection.table)) for protection in protected()}
    for protection in protected():
        if protection.on_standard:
            protection.on_standard()
    for protection in protected():
        _require_unchanged(protection, kept[protection.table])
    counts = {table: RowCounts(before=rows, after=count_rows(sql.quoted(table))) for table, rows in rows_before.items()}
    return CleanedUpTables(rows=counts, unchanged=sorted(table for table, content in kept.items() if content))


def _on_another_connection(work: Callable[[], object]) -> None:
    """Call `work` in a thread, which has its own connection, and wait for it."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


def _kept_columns(protection: Protection) -> dict[str, str]:
    """Return the columns that the clean-up leaves as they are. If it empties the table, return none."""
    if protection.on_standard and not protection.resets:
        return {}
    return protection.columns_without((*protection.volatile, *protection.resets))


def _kept_hash(protection: Protection, lasting_hash: str) -> str:
    """Return the content hash of the kept columns, which is often the one that the caller computed already."""
    columns = _kept_columns(protection)
    return lasting_hash if columns == protection.lasting else _hash(protection, columns)


def _require_unchanged(protection: Protection, before: str) -> None:
    columns, table = _kept_columns(protection), sql.quoted(protection.table)
    is_as_expected = _hash(protection, columns) == before if columns else count_rows(table) == 0
    if not is_as_expected:
        raise ChangedTooMuch(
            f"cannot clean up {protection.table}: its `on_standard` changed more than its registered fields",
            "nothing was changed; report this as a bug of the app that registered the table",
        )


def _hash(protection: Protection, columns: dict[str, str]) -> str:
    return content_hash(sql.quoted(protection.table), columns) if columns else ""
