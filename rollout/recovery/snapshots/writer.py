"""The writing of a snapshot: every table as it was at one moment, streamed to disk, and a manifest."""

import hashlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import connection, transaction

from core.chunks import chunks
from core.db.shared_view import SharedView, adopt_view, export_view
from rollout.recovery.postgres import sql
from rollout.recovery.protect import Protection
from rollout.recovery.snapshots.compression import compressing
from rollout.recovery.snapshots.manifest import FORMAT_VERSION, PROJECT, Manifest, TableFile, sync_folder
from rollout.recovery.snapshots.table_content import content_hash, copy_out_statement, last_migrations

# Rows that are compressed together while they are in the processor's cache: a third faster than 1 MB at a time.
ROWS_AT_ONCE = 32
PARTIAL = ".partial"  # the ending of the folder's name until the snapshot is complete
LOCK_WAIT_MS = 10_000
Hashes = dict[str, str]  # content hashes by table


def write_snapshot(tables: Sequence[Protection], schemas: Mapping[str, str]) -> tuple[Manifest, Path]:
    """Write a snapshot of the tables. Return its manifest and its folder.

    schemas: the schema of each table that is not in the current one.
    If it fails, its files are deleted. Raises OSError, django.db.Error.
    """
    names = {each.table: sql.quoted(schemas.get(each.table, ""), each.table) for each in tables}
    with _locked_view(sorted(names.values())) as view, ThreadPoolExecutor(1) as hasher:
        hashes = hasher.submit(_hash_tables, view.name, {names[each.table]: each for each in tables})
        name = f"{view.moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        draft, folder = settings.SNAPSHOT_DIR / f"{name}{PARTIAL}", settings.SNAPSHOT_DIR / name
        draft.mkdir(mode=0o700, parents=True)
        try:
            files = [write_table(each, names[each.table], draft) for each in tables]
            manifest = Manifest(
                format=FORMAT_VERSION,
                project=PROJECT,
                name=name,
                host=socket.gethostname(),
                made_at=view.moment.isoformat(),
                schema=last_migrations(),
                tables=[_describe(each, file, hashes) for each, file in zip(tables, files, strict=True)],
            )
            manifest.write(draft)
            draft.rename(folder)
            sync_folder(settings.SNAPSHOT_DIR)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return manifest, folder


@contextmanager
def _locked_view(tables: Sequence[str]) -> Iterator[SharedView]:
    """Export one view of the database for as long as the block lasts.

    The tables are locked before the view is taken, so that no migration alters one between the two.
    """
    setup = [
        sql.SET_LOCK_TIMEOUT.format(milliseconds=LOCK_WAIT_MS),
        sql.LOCK_TABLES.format(tables=", ".join(tables), mode="ACCESS SHARE"),
    ]
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        yield export_view(cursor, setup)


def _hash_tables(view_name: str, tables: Mapping[str, Protection]) -> Hashes:
    """Return the content hash of each table in the exported view, on a connection of this thread's own.

    tables: by their quoted names.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            adopt_view(cursor, view_name)
            # A session that waits for the other connection's lock on a table may be ahead of this one.
            cursor.execute(sql.SET_LOCK_TIMEOUT.format(milliseconds=LOCK_WAIT_MS))
            return {each.table: content_hash(table, each.lasting) for table, each in tables.items()}
    finally:
        connection.close()


class MeasuredFile:
    """A table's file while it is written: it counts and hashes what is written to it."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name, self.rows, self.size_bytes, self.digest = name, 0, 0, hashlib.sha256()
        self._file = file

    def write(self, data: bytes) -> int:
        """Write all of the data: one write of an unbuffered file may take only a part of it."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.size_bytes += len(data)
        self.digest.update(data)
        return len(data)


def write_table(protection: Protection, table: str, folder: Path) -> MeasuredFile:
    """Copy the table's rows into a file of the folder, compressed. Return the file with its measurements.

    table: quoted.
    """
    path = folder / f"{protection.table}.copy.zst"
    statement = copy_out_statement(protection, list(protection.columns), table)
    with path.open("xb", buffering=0) as raw:
        file = MeasuredFile(path.name, raw)
        with (
            compressing(file) as compressed,
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            for rows in chunks(copy, ROWS_AT_ONCE):  # COPY gives one row at a time
                compressed.write(b"".join(rows))
                file.rows += len(rows)
        os.fsync(raw.fileno())
    return file


def _describe(protection: Protection, file: MeasuredFile, hashes: Future[Hashes]) -> TableFile:
    return TableFile(
        model=protection.model._meta.label,
        table=protection.table,
        file=file.name,
        columns=protection.columns,
        lasting=list(protection.lasting),
        rows=file.rows,
        size_bytes=file.size_bytes,
        sha256=file.digest.hexdigest(),
        content=hashes.result()[protection.table],
    )
