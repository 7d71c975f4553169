"""Recovery snapshots: every protected table as it was at one moment, on disk.

A snapshot is a folder with one file per table (COPY's text format, compressed with zstd) and a manifest, which is
written last.
"""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import Error
from django.db.models.functions import Now

from core.access.actors import Actor, require
from core.errors import Refused, SlipwayError, WrongInput, first_line
from core.notices.notify import Event, notify
from core.tasks import enqueue
from rollout.models import RecoveryRun, Snapshot
from rollout.recovery.protect import Protection, protected
from rollout.recovery.snapshots.compression import UNREADABLE, decompressing
from rollout.recovery.snapshots.manifest import (
    CHOOSE_ANOTHER,
    MANIFEST_FILE,
    Manifest,
    TableFile,
    UnusableSnapshot,
    read_blocks,
    verify_file,
)
from rollout.recovery.snapshots.writer import PARTIAL, write_snapshot

KEEP_AT_LEAST = 3  # the newest snapshots of a host are kept at any age
KEEP_DAYS = 30
KEEP_PARTIAL = timedelta(days=1)  # the folder of a snapshot that was not completed


class CannotSnapshot(SlipwayError):
    """The snapshot could not be created; its files were deleted."""


def create(
    *,
    actor: Actor,
    reason: str = "",
    extra: Sequence[Protection] = (),
    schemas: Mapping[str, str] | None = None,
) -> Snapshot:
    """Create a snapshot of every protected table, and record it.

    extra: further tables to include.
    schemas: the schema of each table that is not in the current one.
    Raises CannotSnapshot, and notifies the operators.
    """
    require(actor, "rollout.create_snapshot")
    start = time.monotonic()
    folder: Path | None = None
    try:
        manifest, folder = write_snapshot([*protected(), *extra], schemas or {})
        return _record_snapshot(manifest, folder, actor, reason, time.monotonic() - start)
    except (OSError, Error) as error:
        if folder is not None:  # without its record no command would find the folder, or delete it
            shutil.rmtree(folder, ignore_errors=True)
        problem = _cannot_create(error)
        notify(Event("snapshot_failed", "snapshot", str(problem)))
        raise problem from error


def _cannot_create(error: OSError | Error) -> CannotSnapshot:
    if isinstance(error, OSError):
        return CannotSnapshot(
            f"cannot create a snapshot: {error.strerror}",
            f"check the space and the owner of SNAPSHOT_DIR, run: df -h {settings.SNAPSHOT_DIR}",
        )
    return CannotSnapshot(
        f"cannot create a snapshot: {first_line(error, 'the database gave no answer')}",
        "check the database, run: manage.py validate --category system-health",
    )


def _record_snapshot(manifest: Manifest, folder: Path, actor: Actor, reason: str, seconds: float) -> Snapshot:
    return Snapshot.objects.create(
        name=manifest.name,
        host=manifest.host,
        folder=str(folder),
        reason=reason,
        made_by=actor.get_username(),
        tables=len(manifest.tables),
        rows=sum(table.rows for table in manifest.tables),
        size_bytes=sum(table.size_bytes for table in manifest.tables),
        seconds=seconds,
        created_at=datetime.fromisoformat(manifest.made_at),
    )


def request_snapshot(*, actor: Actor, reason: str) -> str:
    """Ask a worker to create a snapshot. Return a sentence for the operator. Raise Refused if it cannot be asked."""
    require(actor, "rollout.create_snapshot")
    if not enqueue("rollout.make_snapshot", actor.get_username(), reason):
        raise Refused(
            "cannot ask a worker for a snapshot: the broker (REDIS_URL) did not take the task",
            "run: manage.py snapshot create",
        )
    return "A worker creates the snapshot. It is in the list as soon as it is complete."


def find_snapshot(name: str | None) -> Snapshot:
    """Return the snapshot of that name, or the newest one if there is no name. Raise WrongInput if there is none.

    name: a name, or the path of a folder that may have come from another machine; its Snapshot is not a stored row.
    """
    if name and "/" in name:
        folder = Path(name).resolve()
        return Snapshot(name=folder.name, host=socket.gethostname(), folder=str(folder))
    snapshots = Snapshot.objects.filter(name=name) if name else Snapshot.objects.all()
    snapshot = snapshots.first()
    if snapshot is None and name:
        raise WrongInput(f"cannot find snapshot {name[:40]}", "run: manage.py snapshot list")
    if snapshot is None:
        raise WrongInput("cannot find a snapshot: none was created yet", "run: manage.py snapshot create")
    return snapshot


def verify(snapshot: Snapshot, *, actor: Actor, progress: Callable[[int], None] | None = None) -> Manifest:
    """Read the whole snapshot back, and record the result. Return its manifest.

    progress: called after each table with the number of its rows.
    Raises UnusableSnapshot if a part of it is missing or differs, and notifies the operators.
    """
    require(actor, "rollout.verify_snapshot")
    try:
        manifest = read_back(snapshot, progress)
    except UnusableSnapshot as error:
        Snapshot.objects.filter(pk=snapshot.pk).update(problem=str(error))
        notify(Event("snapshot_failed", snapshot.name, str(error)))
        raise
    Snapshot.objects.filter(pk=snapshot.pk).update(verified_at=Now(), problem="")
    return manifest


def read_back(snapshot: Snapshot, progress: Callable[[int], None] | None = None) -> Manifest:
    """Read every file of the snapshot, and compare it with the manifest. Return the manifest.

    progress: called after each table with the number of its rows.
    Raises UnusableSnapshot.
    """
    manifest = read_manifest(snapshot)
    for table in manifest.tables:
        _read_back_table(Path(snapshot.folder), table)
        if progress:
            progress(table.rows)
    return manifest


def read_manifest(snapshot: Snapshot) -> Manifest:
    """Return the manifest. Raise UnusableSnapshot if the snapshot is on another host, or is not complete."""
    folder, this_host = Path(snapshot.folder), socket.gethostname()
    # os.path.exists is False for a folder that this user may not read; Manifest.read then names the cause.
    if snapshot.host != this_host and not os.path.exists(folder / MANIFEST_FILE):
        raise UnusableSnapshot(
            f"cannot read snapshot {snapshot.name}: it is on host {snapshot.host}, this is host {this_host}",
            f"run the command on {snapshot.host}, or share SNAPSHOT_DIR between the hosts",
        )
    return Manifest.read(folder)


def _read_back_table(folder: Path, table: TableFile) -> None:
    verify_file(folder, table)
    try:
        with (folder / table.file).open("rb") as file:
            rows = sum(block.count(b"\n") for block in decompress(file))
    except (OSError, *UNREADABLE) as error:
        raise UnusableSnapshot(f"cannot decompress {folder / table.file}: {error}", CHOOSE_ANOTHER) from error
    if rows != table.rows:
        raise UnusableSnapshot(
            f"cannot use {table.file} of {folder.name}: it was altered, it holds {rows:,} of {table.rows:,} rows",
            CHOOSE_ANOTHER,
        )


def decompress(file: BinaryIO) -> Iterator[bytes]:
    """Yield the decompressed content of a table's file, block by block."""
    with decompressing(file) as reader:
        yield from read_blocks(reader)


def run_nightly(*, actor: Actor) -> None:
    """Create and verify a snapshot, and delete old ones."""
    create_and_verify(actor=actor, reason="daily")
    prune(actor=actor)


def create_and_verify(*, actor: Actor, reason: str) -> None:
    """Create a snapshot, and read it back. A failure is not raised: the operators were notified of it."""
    with suppress(SlipwayError):
        verify(create(actor=actor, reason=reason), actor=actor)


def prune(*, actor: Actor) -> list[str]:
    """Delete this host's snapshots that are older than KEEP_DAYS. Return the names of what was deleted.

    These are kept: the newest KEEP_AT_LEAST, the newest that was verified, and each one that is needed to undo a
    rollback. Folders of snapshots that were not completed are deleted after a day.
    """
    require(actor, "rollout.prune_snapshot")
    on_this_host = Snapshot.objects.filter(host=socket.gethostname())
    kept = set(on_this_host.values_list("pk", flat=True)[:KEEP_AT_LEAST])
    kept |= set(on_this_host.exclude(verified_at=None).values_list("pk", flat=True)[:1])
    needed_names = RecoveryRun.objects.rollbacks().not_undone().exclude(snapshot="").values("snapshot")
    kept |= set(on_this_host.filter(name__in=needed_names).values_list("pk", flat=True))
    deleted = []
    for snapshot in on_this_host.filter(created_at__lt=Now() - timedelta(days=KEEP_DAYS)).exclude(pk__in=kept):
        shutil.rmtree(snapshot.folder, ignore_errors=True)
        snapshot.delete()
        deleted.append(snapshot.name)
    for folder in settings.SNAPSHOT_DIR.glob(f"*{PARTIAL}"):
        if time.time() - folder.stat().st_mtime > KEEP_PARTIAL.total_seconds():
            shutil.rmtree(folder, ignore_errors=True)
            deleted.append(folder.name)
    return deleted
