"""Recovery snapshots: every protected table in one consistent view, on disk, streamed.

A snapshot is a folder: a file per table (COPY's text through zstd) and a manifest, which is written last.
"""

import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import structlog
import zstandard
from django.conf import settings
from django.db import Error
from django.db.models.functions import Now

from core.access.actors import Actor, require
from core.errors import Refused, SlipwayError, WrongInput, first_line
from core.notices.notify import Event, notify
from core.tasks import enqueue
from rollout.models import RecoveryRun, Snapshot
from rollout.recovery.protect import Protection, protected
from rollout.recovery.snapshots.manifest import CHUNK, FILE, Manifest, Table, Unusable, check
from rollout.recovery.snapshots.writer import PARTIAL, write

KEPT, KEPT_DAYS = 3, 30  # at least so many, and those of so many days
log = structlog.get_logger("slipway.recovery")


class CannotSnapshot(SlipwayError):
    """It could not be made; nothing of it is left."""


def create(
    *,
    actor: Actor,
    reason: str = "",
    also: Sequence[Protection] = (),
    places: Mapping[str, str] = {},
) -> Snapshot:
    """also: tables beside the protected ones. places: the schema that a table lies in, where it is not the usual one.
    Raises CannotSnapshot; people are told then.
    """
    require(actor, "rollout.create_snapshot")
    start, folder = time.monotonic(), None
    try:
        manifest, folder = write([*protected(), *also], places)
        return _recorded(manifest, folder, actor, reason, time.monotonic() - start)
    except (OSError, Error) as error:
        if folder is not None:  # nobody would find it, or delete it
            shutil.rmtree(folder, ignore_errors=True)
        said = error.strerror if isinstance(error, OSError) else first_line(error, "no answer")
        problem = CannotSnapshot(f"no snapshot was made: {said}", f"see to {settings.SNAPSHOT_DIR} and the database")
        notify(Event("snapshot_failed", "snapshot", str(problem)))
        raise problem from error


def ask_for_one(*, actor: Actor, reason: str) -> str:
    """Have a worker make one. Returns what to expect; raises Refused where no worker could be asked."""
    require(actor, "rollout.create_snapshot")
    if not enqueue("rollout.make_snapshot", actor.get_username(), reason):
        raise Refused("no worker could be asked", "see to Redis, or run: manage.py snapshot create")
    return "A worker makes it: it is in the list once it is whole"


def _recorded(manifest: Manifest, folder: Path, actor: Actor, reason: str, seconds: float) -> Snapshot:
    return Snapshot.objects.create(
        name=manifest.name,
        host=manifest.host,
        folder=str(folder),
        reason=reason,
        made_by=actor.get_username(),
        tables=len(manifest.tables),
        rows=sum(table.rows for table in manifest.tables),
        size_bytes=sum(table.bytes for table in manifest.tables),
        seconds=seconds,
        created_at=datetime.fromisoformat(manifest.made_at),
    )


def found(name: str | None) -> Snapshot:
    """By name, or by the path of its folder; the newest where none is said. Raises WrongInput."""
    if name and "/" in name:
        folder = Path(name).resolve()
        return Snapshot(name=folder.name, host=socket.gethostname(), folder=str(folder))
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
        manifest = read_back(snapshot, progress)
    except Unusable as error:
        Snapshot.objects.filter(pk=snapshot.pk).update(problem=str(error))
        notify(Event("snapshot_failed", snapshot.name, str(error)))
        raise
    Snapshot.objects.filter(pk=snapshot.pk).update(verified_at=Now(), problem="")
    return manifest


def read_back(snapshot: Snapshot, progress: Callable[[int], None] = lambda rows: None) -> Manifest:
    """Raises Unusable."""
    manifest = opened(snapshot)
    for table in manifest.tables:
        _read_back(Path(snapshot.folder), table)
        progress(table.rows)
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
    check(folder, table)
    try:
        with (folder / table.file).open("rb") as raw:
            rows = sum(block.count(b"\n") for block in unpacked(raw))
    except (OSError, zstandard.ZstdError) as error:
        raise Unusable(f"{table.file} of {folder.name} cannot be unpacked: {error}", "take another one") from error
    if rows != table.rows:
        raise Unusable(f"{table.file} of {folder.name} was altered", "take another one: manage.py snapshot list")


def unpacked(raw: BinaryIO) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(raw) as reader:
        while block := reader.read(CHUNK):
            yield block


def daily(*, actor: Actor) -> None:
    """One more, and old ones gone."""
    keep(actor=actor, reason="daily")
    prune(actor=actor)


def keep(*, actor: Actor, reason: str) -> None:
    """One more, read back. What went wrong was told of."""
    with suppress(SlipwayError):
        verify(create(actor=actor, reason=reason), actor=actor)


def prune(*, actor: Actor) -> list[str]:
    """Delete those of this host that are old, but never the newest few, nor the newest that was verified, nor what a
    rollback would be undone with; and what a crash left half-written. Returns their names.
    """
    require(actor, "rollout.prune_snapshot")
    mine = Snapshot.objects.filter(host=socket.gethostname())
    kept = set(mine.values_list("pk", flat=True)[:KEPT])
    kept |= set(mine.exclude(verified_at=None).values_list("pk", flat=True)[:1])
    needed = RecoveryRun.objects.rollbacks().not_undone().exclude(snapshot="").values("snapshot")
    kept |= set(mine.filter(name__in=needed).values_list("pk", flat=True))
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
