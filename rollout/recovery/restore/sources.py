"""The tables of a snapshot that can be restored, and how they differ from the tables of the database."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import CharField, Field
from django.db.models.fields import NOT_PROVIDED

from core.db.shared_view import take_view
from core.errors import WrongInput
from rollout.models import Snapshot
from rollout.recovery.postgres import sql
from rollout.recovery.protect import Protection, protected, protections_of
from rollout.recovery.restore.diff import ChangeCounts, RowChange, RowLayout, compare_rows
from rollout.recovery.snapshots import operations
from rollout.recovery.snapshots.compression import UNREADABLE, decompressing
from rollout.recovery.snapshots.manifest import (
    CHOOSE_ANOTHER,
    Manifest,
    TableFile,
    UnusableSnapshot,
    verify_file,
)
from rollout.recovery.snapshots.table_content import applied_migrations, content_hash, copy_out_statement


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table of a snapshot, and the table of the database that its rows go into.

    columns: the columns that both have, in the order in which rows are compared.
    """

    folder: Path
    file: TableFile
    protection: Protection
    layout: RowLayout
    columns: tuple[str, ...]

    @property
    def table(self) -> str:
        """The quoted name of the database's table."""
        return sql.quoted(self.protection.table)

    @property
    def key(self) -> str:
        """The column of the primary key."""
        return self.protection.model._meta.pk.column

    @property
    def hashed_columns(self) -> dict[str, str]:
        """The names and types of the columns that the snapshot's content hash covers."""
        return {name: self.file.columns[name] for name in self.file.lasting}

    def verify_file(self) -> None:
        """Raise UnusableSnapshot if the table's file was cut or altered."""
        verify_file(self.folder, self.file)

    @contextmanager
    def open_rows(self) -> Iterator[io.BufferedReader]:
        """Open the snapshot's rows, decompressed. Raise UnusableSnapshot if the file was altered."""
        try:
            with (
                (self.folder / self.file.file).open("rb") as raw,
                decompressing(raw) as rows,
            ):
                yield rows
        except UNREADABLE as error:
            raise UnusableSnapshot(
                f"cannot decompress {self.folder / self.file.file}: it was altered ({error})", CHOOSE_ANOTHER
            ) from error


def table_sources(snapshot: Snapshot, only: str = "") -> list[TableSource]:
    """Return the tables of the snapshot that can be restored.

    only: the name of a single table; empty for all protected tables.
    Raises UnusableSnapshot, or WrongInput if the snapshot does not hold the single table.
    """
    manifest = operations.read_manifest(snapshot)
    _require_not_newer(manifest)
    protections = {each.table: each for each in [*protected(), *protections_of([only])]}
    files = {file.table: file for file in manifest.tables if file.table in protections}
    if only:
        if only not in files:
            if any(file.table == only for file in manifest.tables):
                raise WrongInput(
                    f"cannot restore table {only[:60]}: no installed app has it",
                    "install the package again that the table belongs to",
                )
            raise WrongInput(
                f"cannot restore table {only[:60]}: snapshot {snapshot.name} does not hold it",
                f"choose one of: {', '.join(files)}",
            )
        files = {only: files[only]}
    elif missing := sorted(protections.keys() - files.keys()):
        raise UnusableSnapshot(
            f"cannot restore all of snapshot {snapshot.name}: it does not hold {', '.join(missing)}",
            "restore its tables one by one with --table, or choose another snapshot: manage.py snapshot list",
        )
    return [_table_source(Path(snapshot.folder), file, protections[table]) for table, file in files.items()]


def tables_left_out(snapshot: Snapshot) -> list[str]:
    """Return the tables that a restore of the whole snapshot leaves out, because no installed app protects them.

    Raises UnusableSnapshot.
    """
    tables = {protection.table for protection in protected()}
    return [file.table for file in operations.read_manifest(snapshot).tables if file.table not in tables]


def _require_not_newer(manifest: Manifest) -> None:
    """Raise UnusableSnapshot if the snapshot has a migration of an installed app that this database does not have."""
    applied = applied_migrations()
    unknown = [
        f"{app}.{name}"
        for app, name in manifest.schema.items()
        if app in apps.app_configs and (app, name) not in applied
    ]
    if unknown:
        raise UnusableSnapshot(
            f"cannot restore snapshot {manifest.name}: a newer release made it, with migrations that this database "
            f"does not have: {', '.join(unknown)}",
            "install that release, and run: manage.py migrate",
        )


def _table_source(folder: Path, file: TableFile, protection: Protection) -> TableSource:
    snapshot_columns = list(file.columns)
    columns = tuple(column for column in snapshot_columns if column in protection.columns)
    for column in protection.columns:
        if column not in snapshot_columns:
            _require_default(protection, column)
    is_every_column = list(columns) == snapshot_columns
    key = protection.model._meta.pk
    layout = RowLayout(
        key=columns.index(key.column),
        is_number=not isinstance(key, CharField),
        kept=None if is_every_column else tuple(snapshot_columns.index(column) for column in columns),
        compared=tuple(position for position, column in enumerate(columns) if column in protection.lasting),
    )
    return TableSource(folder, file, protection, layout, columns)


def _require_default(protection: Protection, column: str) -> None:
    """Raise UnusableSnapshot if a column that the snapshot does not have has no value for restored rows."""
    fields: list[Field[Any, Any]] = [
        field for field in protection.model._meta.local_concrete_fields if field.column == column
    ]
    field = fields[0]
    if not (field.null or field.has_default() or field.db_default is not NOT_PROVIDED or field.empty_strings_allowed):
        raise UnusableSnapshot(
            f"cannot restore {protection.table}: its column {column} is newer than the snapshot, and has no default",
            "install the release that made the snapshot, restore it there, and then migrate",
        )


def count_changes(source: TableSource) -> ChangeCounts:
    """Count the rows that a restore of the table would change now. Change nothing."""
    counts = ChangeCounts()
    with open_changes(source) as changes:
        for change, _ in changes:
            counts.count(change)
    return counts


@contextmanager
def open_changes(source: TableSource) -> Iterator[Iterator[tuple[RowChange, bytes]]]:
    """Open a stream of the changes that make the database's table equal to the snapshot's.

    If a restore must not add or remove rows of the table, the stream has only changed rows.
    """
    statement = copy_out_statement(source.protection, source.columns, source.table)
    with source.open_rows() as rows, connection.cursor() as cursor, cursor.copy(statement) as copy:
        changes = compare_rows(rows, map(bytes, copy), source.layout)
        if source.protection.keeps_rows:
            changes = ((change, row) for change, row in changes if change is RowChange.CHANGE)
        yield changes


def matches_snapshot(source: TableSource) -> bool | None:
    """Return whether the table has the content hash of the snapshot.

    Return None if they cannot be compared: the table lacks a column that the hash covers.
    """
    if not set(source.file.lasting) <= set(source.columns):
        return None
    return content_hash(source.table, source.hashed_columns) == source.file.content


def plan_changes(sources: Sequence[TableSource]) -> dict[str, ChangeCounts]:
    """Return for each table how many rows a restore would change, all at one moment. Change nothing.

    Raises UnusableSnapshot.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            take_view(cursor)
        counts = {}
        for source in sources:
            source.verify_file()
            counts[source.protection.table] = count_changes(source)
    return counts
