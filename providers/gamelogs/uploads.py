"""Files that come through the admin: kept in the database until a worker, on any machine, has imported them.

`upload` keeps a file. A worker calls `import_waiting`, which counts an attempt for the next waiting upload in one
transaction, then imports the file in another one and stores whether it is done or failed. The row is locked during the
import: if the worker is killed, the lock goes with its connection, and the upload is waiting again.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from core.access.actors import Actor, Machine, require
from core.errors import SlipwayError
from core.tasks import enqueue
from providers.choices import ImportState
from providers.gamelogs.box_score import printable
from providers.gamelogs.loader import BadFile, Imported
from providers.gamelogs.operations import PERMISSION, import_file
from providers.gamelogs.upload_parts import PartsStream, store_parts
from providers.gamelogs.upload_progress import report_progress
from providers.models import GameLogUpload, UploadedPart

MAX_BYTES = 500 * 1024 * 1024  # some ten million rows; a command takes larger files
MAX_SCHEDULE_BYTES = 20 * 1024 * 1024  # nflverse's schedule of all seasons has 2 MB
ATTEMPTS = 3
log = structlog.get_logger("slipway.gamelogs")


@transaction.atomic
def upload(
    name: str,
    pieces: Iterable[bytes],
    sport: str,
    *,
    actor: Actor,
    schedule: Iterable[bytes] = (),
    mapping: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> GameLogUpload:
    """Keep a file for import. A worker imports it after this transaction is committed.

    name: the file's name, of which 200 characters are kept.
    pieces: the file's bytes, in pieces of any length.
    schedule: the bytes of nflverse's games.csv, if the file needs it.
    Raises Refused, and WrongInput if a file is too large.
    """
    require(actor, PERMISSION)
    kept = GameLogUpload.objects.create(
        name=name[:200],
        sport_id=sport,
        size_bytes=0,
        mapping=mapping or {},
        skip_bad=skip_bad,
        uploaded_by=actor.get_username(),
    )
    kept.size_bytes = store_parts(kept, UploadedPart.Kind.LOGS, pieces, MAX_BYTES)
    kept.save(update_fields=["size_bytes"])
    store_parts(kept, UploadedPart.Kind.SCHEDULE, schedule, MAX_SCHEDULE_BYTES)
    transaction.on_commit(_wake_worker)
    return kept


def _wake_worker() -> None:
    """Ask a worker to import what waits. If the broker is down, the next minute's tick does."""
    enqueue("providers.import_uploads")


def import_waiting() -> int:
    """Import the waiting uploads, one after the other. Return how many ended.

    Each upload is tried once per call. Several workers never import the same one.
    """
    ended = 0
    tried: set[int] = set()
    while True:
        pk = _begin_attempt(tried)
        if pk is None:
            return ended
        tried.add(pk)
        if _import_upload(pk):
            ended += 1


@transaction.atomic
def _begin_attempt(tried: set[int]) -> int | None:
    """Count an attempt for the next waiting upload. Return its id, or None if no upload waits.

    The attempt is committed before the import begins. A file whose worker dies each time therefore waits behind the
    others, and fails after ATTEMPTS attempts.
    """
    waiting = _lock_waiting().exclude(pk__in=tried).order_by("attempts", "pk").first()
    if waiting is None:
        return None
    waiting.attempts += 1
    waiting.save(update_fields=["attempts"])
    if waiting.attempts > ATTEMPTS:
        _fail(waiting, f"cannot import the file: its worker died {ATTEMPTS} times; look at the worker's log")
    return waiting.pk


@transaction.atomic
def _import_upload(pk: int) -> bool:
    """Import the upload, and store whether it is done or failed. Return whether it ended here.

    Its row is locked until the import ends. If another worker has it, or it no longer waits, nothing is done.
    """
    waiting = _lock_waiting().filter(pk=pk).first()
    if waiting is None:
        return False
    try:
        with transaction.atomic():
            imported = _import_file(waiting)
        _end(waiting, ImportState.DONE, imported.document())
    except BadFile as error:
        _fail(waiting, str(error), error.imported.document())
    except SlipwayError as error:
        _fail(waiting, str(error))
    except Exception as error:  # an unexpected error must not keep the next file from its import
        log.exception("an import of an upload failed", upload=waiting.pk)
        _fail(waiting, f"cannot import the file: unexpected {type(error).__name__}; look at the worker's log")
    return True


def _lock_waiting() -> "QuerySet[GameLogUpload]":
    """Return the waiting uploads that no other worker has locked; reading one locks it."""
    return GameLogUpload.objects.select_for_update(skip_locked=True).filter(state=ImportState.WAITING)


def _import_file(waiting: GameLogUpload) -> Imported:
    logs = PartsStream(waiting, UploadedPart.Kind.LOGS)
    schedule = PartsStream(waiting, UploadedPart.Kind.SCHEDULE)

    def report(rows: int) -> None:
        report_progress(waiting, rows, logs.read_bytes)

    return import_file(
        logs.buffered(),
        waiting.sport_id,
        actor=Machine(waiting.uploaded_by),
        mapping=waiting.mapping,
        schedule=schedule.buffered() if schedule.exists() else None,
        skip_bad=waiting.skip_bad,
        progress=report,
    )


def _fail(waiting: GameLogUpload, problem: str, outcome: dict[str, Any] | None = None) -> None:
    _end(waiting, ImportState.FAILED, outcome or {}, printable(problem))


def _end(waiting: GameLogUpload, state: ImportState, outcome: dict[str, Any], problem: str = "") -> None:
    """Store how the import ended, and delete the file's bytes."""
    GameLogUpload.objects.filter(pk=waiting.pk).update(state=state, outcome=outcome, problem=problem, ended_at=Now())
    waiting.parts.all().delete()


def prune() -> int:
    """Delete ended uploads that are past their retention. Return how many rows were deleted."""
    ended = GameLogUpload.objects.exclude(state=ImportState.WAITING)
    return ended.filter(ended_at__lt=Now() - timedelta(days=GameLogUpload.KEEP_DAYS)).delete()[0]
