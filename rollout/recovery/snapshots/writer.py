"""Writing a snapshot: every table in one view of the database, streamed, with what its manifest says of it."""

import hashlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from django.conf import settings
from django.db import connection, transaction

from rollout.recovery.postgres import sql
from rollout.recovery.protect import Protection
from rollout.recovery.snapshots.manifest import FORMAT, Manifest, Table, sync
from rollout.recovery.snapshots.table_content import content_hash, copy_out, schema

LEVEL = 1  # of zstd: of these rows it makes no larger files than its default, in half the time
AT_ONCE = 32  # rows, packed while they are in the processor's cache: a third faster than a megabyte at once
PARTIAL = ".partial"
ONE_VIEW = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
Hashes = dict[str, str]


def write(tables: Sequence[Protection], places: Mapping[str, str]) -> tuple[Manifest, Path]:
    """places: the schema of a table, where it is not the usual one. What it began goes where it fails. Raises OSError,
    django.db.Error.
    """
    named = {each.table: sql.quoted(places.get(each.table, ""), each.table) for each in tables}
    with _one_view(sorted(named.values())) as (moment, exported), ThreadPoolExecutor(1) as beside:
        hashes = beside.submit(_hashes, exported, {named[each.table]: each for each in tables})
        name = f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        draft, whole = settings.SNAPSHOT_DIR / f"{name}{PARTIAL}", settings.SNAPSHOT_DIR / name
        draft.mkdir(mode=0o700, parents=True)
        try:
            files = [_file(each, named[each.table], draft) for each in tables]
            written = [_table(each, file, hashes) for each, file in zip(tables, files, strict=True)]
            manifest = Manifest(FORMAT, "slipway", name, socket.gethostname(), moment.isoformat(), schema(), written)
            manifest.write(draft)
            draft.rename(whole)
            sync(settings.SNAPSHOT_DIR)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return manifest, whole


@contextmanager
def _one_view(tables: Sequence[str]) -> Iterator[tuple[datetime, str]]:
    """Locks first, then the view: so no table is altered between the two. Yields the view's moment, and its name for
    other connections.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(ONE_VIEW)
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")
        cursor.execute("SELECT now(), pg_export_snapshot()")
        yield cursor.fetchone()


def _hashes(exported: str, tables: Mapping[str, Protection]) -> Hashes:
    """Content hashes by table, in the same view, on a connection of this thread's own."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(ONE_VIEW)
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{exported}'")
            cursor.execute("SET LOCAL lock_timeout = '10s'")  # behind somebody who waits for the other connection
            return {each.table: content_hash(place, each.lasting) for place, each in tables.items()}
    finally:
        connection.close()


class _Written:
    """A table's file: passes on what is written, and counts and hashes it."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name, self._file, self.rows, self.size, self.digest = name, file, 0, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.size += len(data)
        self.digest.update(data)
        return len(data)


def _file(protection: Protection, place: str, folder: Path) -> "_Written":
    path = folder / f"{protection.table}.copy.zst"
    with path.open("xb", buffering=0) as raw:
        written = _Written(path.name, raw)
        with zstandard.ZstdCompressor(level=LEVEL).stream_writer(written, closefd=False) as packed:  # type: ignore[arg-type]
            written.rows = _copy(copy_out(protection, list(protection.columns), place), packed)
        os.fsync(raw.fileno())
    return written


def _table(protection: Protection, file: "_Written", hashes: "Future[Hashes]") -> Table:
    return Table(
        model=protection.model._meta.label,
        table=protection.table,
        file=file.name,
        columns=protection.columns,
        lasting=list(protection.lasting),
        rows=file.rows,
        bytes=file.size,
        sha256=file.digest.hexdigest(),
        content=hashes.result()[protection.table],
    )


def _copy(statement: str, packed: Any) -> int:
    """Returns how many rows: they come one by one."""
    rows = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        coming = iter(copy)
        while some := list(islice(coming, AT_ONCE)):
            packed.write(b"".join(some))
            rows += len(some)
    return rows
