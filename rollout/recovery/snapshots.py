"""Recovery snapshots: every protected table in one consistent view, on disk, streamed.

A snapshot is a folder: a file per table (COPY's text through zstd) and a manifest, which is written last.
"""

import hashlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import structlog
import zstandard
from django.conf import settings
from django.db import Error, connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now

from rollout.actors import Actor, require
from rollout.errors import SlipwayError, WrongInput, first_line
from rollout.notify import Event, notify
from rollout.recovery import sql
from rollout.recovery.manifest import FILE, FORMAT, Manifest, Table, Unusable, sync
from rollout.recovery.models import Snapshot
from rollout.recovery.protect import Protection, protected

LEVEL = 3  # of zstd: its default
CHUNK = 1 << 20  # bytes
KEPT, KEPT_DAYS = 3, 30  # at least so many, and those of so many days
PARTIAL = ".partial"
log = structlog.get_logger("slipway.recovery")


class CannotSnapshot(SlipwayError):
    """It could not be made; nothing of it is left."""


def create(*, actor: Actor, reason: str = "", progress: Callable[[int], None] = lambda rows: None) -> Snapshot:
    """Raises CannotSnapshot; people are told then."""
    require(actor, "rollout.create_snapshot")
    start = time.monotonic()
    try:
        manifest, folder = _write(progress)
    except (OSError, Error) as error:
        said = error.strerror if isinstance(error, OSError) else first_line(error, "no answer")
        problem = CannotSnapshot(f"no snapshot was made: {said}", f"see to {settings.SNAPSHOT_DIR} and the database")
        notify(Event("snapshot_failed", "snapshot", str(problem)))
        raise problem from error
    return Snapshot.objects.create(
        name=manifest.name,
        host=manifest.host,
        folder=str(folder),
        reason=reason,
        made_by=actor.get_username(),
        tables=len(manifest.tables),
        rows=sum(table.rows for table in manifest.tables),
        size_bytes=sum(table.bytes for table in manifest.tables),
        seconds=time.monotonic() - start,
        created_at=datetime.fromisoformat(manifest.made_at),
    )


def _write(progress: Callable[[int], None]) -> tuple[Manifest, Path]:
    with _one_view(protected()) as moment:
        name = f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        draft, whole = settings.SNAPSHOT_DIR / f"{name}{PARTIAL}", settings.SNAPSHOT_DIR / name
        draft.mkdir(mode=0o700, parents=True)
        try:
            tables = []
            for protection in protected():
                tables.append(_table(protection, draft))
                progress(tables[-1].rows)
            manifest = Manifest(FORMAT, "slipway", name, socket.gethostname(), moment.isoformat(), _schema(), tables)
            manifest.write(draft)
            draft.rename(whole)
            sync(settings.SNAPSHOT_DIR)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return manifest, whole


@contextmanager
def _one_view(protections: Sequence[Protection]) -> Iterator[datetime]:
    """Locks first, then the view: so no table is altered between the two. Yields the view's moment."""
    tables = sorted(protection.model._meta.db_table for protection in protections)
    names = ", ".join(map(connection.ops.quote_name, tables))
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        cursor.execute(f"LOCK TABLE {names} IN ACCESS SHARE MODE")
        cursor.execute("SELECT now()")
        yield cursor.fetchone()[0]


def _table(protection: Protection, folder: Path) -> Table:
    meta = protection.model._meta
    columns = {field.column: field.db_type(connection) or "" for field in meta.local_concrete_fields}
    file = folder / f"{meta.db_table}.copy.zst"
    with file.open("xb", buffering=0) as raw:
        counted: Any = _Counted(raw)
        with zstandard.ZstdCompressor(level=LEVEL).stream_writer(counted, closefd=False) as packed:
            rows = _copy(sql.copy_out(meta.db_table, list(columns), meta.pk.column), packed)
        os.fsync(raw.fileno())
    return Table(
        model=meta.label,
        table=meta.db_table,
        file=file.name,
        columns=columns,
        rows=rows,
        bytes=counted.size,
        sha256=counted.digest.hexdigest(),
        content=content_hash(protection),
    )


class _Counted:
    """Passes on what is written, and counts and hashes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.size, self.digest = file, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.size += len(data)
        self.digest.update(data)
        return len(data)


def _copy(statement: str, packed: Any) -> int:
    """Returns how many rows: in COPY's text a line each."""
    rows = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in copy:
            data = bytes(block)
            rows += data.count(b"\n")
            packed.write(data)
    return rows


def content_hash(protection: Protection) -> str:
    """Of all rows in whatever order, volatile columns apart; two equal tables have the same one."""
    meta = protection.model._meta
    columns = [field.column for field in meta.local_concrete_fields if field.name not in protection.volatile]
    with connection.cursor() as cursor:
        cursor.execute(sql.content_hash(meta.db_table, columns))
        return str(cursor.fetchone()[0])


def _schema() -> dict[str, str]:
    """The last migration of each app that has protected tables."""
    apps = {protection.model._meta.app_label for protection in protected()}
    applied = sorted(MigrationRecorder(connection).applied_migrations())
    return {app: name for app, name in applied if app in apps}


def found(name: str | None) -> Snapshot:
    """By name; the newest where none is said. Raises WrongInput."""
    rows = Snapshot.objects.all()
    snapshot = (rows.filter(name=name) if name else rows).first()
    if snapshot is None:
        raise WrongInput(
            f"there is no snapshot {name[:40]}" if name else "there is no snapshot at all",
            "see manage.py snapshot list" if name else "make one: manage.py snapshot create",
        )
    return snapshot


def verify(snapshot: Snapshot, *, actor: Actor, progress: Callable[[int], None] = lambda rows: None) -> Manifest:
    """Read all of it back. Raises Unusable for what is not as it was made; people are told then."""
    require(actor, "rollout.verify_snapshot")
    try:
        manifest = opened(snapshot)
        for table in manifest.tables:
            _read_back(Path(snapshot.folder), table)
            progress(table.rows)
    except Unusable as error:
        Snapshot.objects.filter(pk=snapshot.pk).update(problem=str(error))
        notify(Event("snapshot_failed", snapshot.name, str(error)))
        raise
    Snapshot.objects.filter(pk=snapshot.pk).update(verified_at=Now(), problem="")
    return manifest


def opened(snapshot: Snapshot) -> Manifest:
    """Its manifest, if it lies here and is whole. Raises Unusable."""
    folder, here = Path(snapshot.folder), socket.gethostname()
    if not (folder / FILE).exists() and snapshot.host != here:
        raise Unusable(
            f"{snapshot.name} lies on {snapshot.host}, this is {here}", "run it there, or share SNAPSHOT_DIR"
        )
    return Manifest.read(folder)


def _read_back(folder: Path, table: Table) -> None:
    digest, rows, size = hashlib.sha256(), 0, 0
    try:
        with (folder / table.file).open("rb") as raw:
            while block := raw.read(CHUNK):
                digest.update(block)
                size += len(block)
            raw.seek(0)
            if (size, digest.hexdigest()) == (table.bytes, table.sha256):
                rows = sum(block.count(b"\n") for block in unpacked(raw))
    except OSError as error:
        raise Unusable(f"{table.file} of {folder.name} cannot be read: {error.strerror}", "take another one") from error
    except zstandard.ZstdError as error:
        raise Unusable(f"{table.file} of {folder.name} cannot be unpacked: {error}", "take another one") from error
    if (size, digest.hexdigest(), rows) != (table.bytes, table.sha256, table.rows):
        what = "cut" if size < table.bytes else "altered"
        raise Unusable(f"{table.file} of {folder.name} was {what}", "take another one: manage.py snapshot list")


def unpacked(raw: BinaryIO) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(raw) as reader:
        while block := reader.read(CHUNK):
            yield block


def daily(*, actor: Actor) -> None:
    """One more, read back, and old ones gone. What went wrong was told of."""
    with suppress(SlipwayError):
        verify(create(actor=actor, reason="daily"), actor=actor)
    prune(actor=actor)


def prune(*, actor: Actor) -> list[str]:
    """Delete those of this host that are old, but never the newest few, nor the newest that was verified; and what a
    crash left half-written. Returns their names.
    """
    require(actor, "rollout.prune_snapshot")
    mine = Snapshot.objects.filter(host=socket.gethostname())
    kept = set(mine.values_list("pk", flat=True)[:KEPT])
    kept |= set(mine.exclude(verified_at=None).values_list("pk", flat=True)[:1])
    gone = []
    for snapshot in mine.filter(created_at__lt=Now() - timedelta(days=KEPT_DAYS)).exclude(pk__in=kept):
        shutil.rmtree(snapshot.folder, ignore_errors=True)
        snapshot.delete()
        gone.append(snapshot.name)
    for left in settings.SNAPSHOT_DIR.glob(f"*{PARTIAL}"):
        if time.time() - left.stat().st_mtime > timedelta(days=1).total_seconds():
            shutil.rmtree(left, ignore_errors=True)
            gone.append(left.name)
    return gone
