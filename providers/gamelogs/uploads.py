"""Files that come through the admin: kept in the database until a worker, on whichever machine, has imported them."""

import io
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO, cast

import redis
import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from core.access.actors import Actor, Machine, require
from core.errors import SlipwayError, WrongInput
from core.redis import client, key
from core.tasks import enqueue
from providers.choices import ImportState
from providers.gamelogs.loader import BadFile
from providers.gamelogs.operations import PERMISSION, import_file
from providers.gamelogs.rows import printable
from providers.models import GameLogUpload, UploadedPart

PART_BYTES = 1024 * 1024
MAX_BYTES = 500 * 1024 * 1024  # some ten million rows; a command takes larger ones
MAX_SCHEDULE_BYTES = 20 * 1024 * 1024  # nflverse's, of all seasons, has 2 MB
ATTEMPTS = 3
log = structlog.get_logger("slipway.gamelogs")


@dataclass(frozen=True, slots=True)
class Progress:
    rows: int
    share: float  # of the file's bytes, 0 to 1


@transaction.atomic
def upload(
    name: str,
    chunks: Iterable[bytes],
    sport: str,
    *,
    actor: Actor,
    schedule: Iterable[bytes] = (),
    mapping: Mapping[str, str] | None = None,
    skip_bad: bool = False,
) -> GameLogUpload:
    """Keep a file for import; a worker takes it once the transaction is over. Raises WrongInput for one too large."""
    require(actor, PERMISSION)
    made = GameLogUpload.objects.create(
        name=name[:200],
        sport_id=sport,
        size_bytes=0,
        mapping=mapping or {},
        skip_bad=skip_bad,
        uploaded_by=actor.get_username(),
    )
    made.size_bytes = _keep(made, UploadedPart.Kind.LOGS, chunks, MAX_BYTES)
    made.save(update_fields=["size_bytes"])
    _keep(made, UploadedPart.Kind.SCHEDULE, schedule, MAX_SCHEDULE_BYTES)
    transaction.on_commit(_wake)
    return made


def _keep(made: GameLogUpload, kind: UploadedPart.Kind, chunks: Iterable[bytes], most: int) -> int:
    size = 0
    for number, part in enumerate(_parts(chunks)):
        size += len(part)
        if size > most:
            raise WrongInput(f"a file is larger than {most / 1024 / 1024:.0f} MiB", "use manage.py import_game_logs")
        UploadedPart.objects.create(upload=made, kind=kind, number=number, content=part)
    return size


def _parts(chunks: Iterable[bytes]) -> Iterable[bytes]:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= PART_BYTES:
            yield bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
    if held:
        yield bytes(held)


def _wake() -> None:
    """Without a broker the next minute's tick finds it."""
    enqueue("providers.import_uploads")


def import_waiting() -> int:
    """Import what waits, one file after the other. Returns how many ended. Several workers never take the same one."""
    ended, tried = 0, set[int]()
    while (pk := _begin(tried)) is not None:
        tried.add(pk)
        ended += _import_one(pk)
    return ended


@transaction.atomic
def _begin(tried: set[int]) -> int | None:
    """Count the attempt, so that a file whose worker dies each time does not come for ever, nor before others."""
    waiting = _waiting().exclude(pk__in=tried).order_by("attempts", "pk")
    found = waiting.first()
    if found is None:
        return None
    found.attempts += 1
    found.save(update_fields=["attempts"])
    if found.attempts > ATTEMPTS:
        _end(found, ImportState.FAILED, problem=f"its worker died {ATTEMPTS} times; look at the worker's log")
    return found.pk


@transaction.atomic
def _import_one(pk: int) -> bool:
    """The row is locked until the import is over, so that a killed worker's file is simply waiting again."""
    found = _waiting().filter(pk=pk).first()
    if found is None:
        return False
    try:
        with transaction.atomic():
            outcome = _import(found)
        _end(found, ImportState.DONE, outcome=outcome)
    except BadFile as error:
        _end(found, ImportState.FAILED, outcome=error.imported.document(), problem=str(error))
    except SlipwayError as error:
        _end(found, ImportState.FAILED, problem=str(error))
    except Exception as error:  # whatever it is, the next file gets its turn
        log.exception("the import broke", upload=found.pk)
        _end(found, ImportState.FAILED, problem=f"unexpected {type(error).__name__}; look at the worker's log")
    return True


def _waiting() -> "QuerySet[GameLogUpload]":
    return GameLogUpload.objects.select_for_update(skip_locked=True).filter(state=ImportState.WAITING)


def _end(found: GameLogUpload, state: ImportState, *, outcome: dict[str, Any] | None = None, problem: str = "") -> None:
    ended = {"state": state, "outcome": outcome or {}, "problem": printable(problem), "ended_at": Now()}
    GameLogUpload.objects.filter(pk=found.pk).update(**ended)
    found.parts.all().delete()


def prune() -> int:
    """Delete ended uploads past their retention. Returns how many."""
    ended = GameLogUpload.objects.exclude(state=ImportState.WAITING)
    return ended.filter(ended_at__lt=Now() - timedelta(days=GameLogUpload.KEEP_DAYS)).delete()[0]


def _import(found: GameLogUpload) -> dict[str, Any]:
    file = Parts(found.pk, UploadedPart.Kind.LOGS)
    has_schedule = found.parts.filter(kind=UploadedPart.Kind.SCHEDULE).exists()
    schedule = Parts(found.pk, UploadedPart.Kind.SCHEDULE)
    return import_file(
        cast(BinaryIO, io.BufferedReader(file)),
        found.sport_id,
        actor=Machine(found.uploaded_by),
        mapping=found.mapping,
        schedule=cast(BinaryIO, io.BufferedReader(schedule)) if has_schedule else None,
        skip_bad=found.skip_bad,
        progress=partial(_report, found, file),
    ).document()


class Parts(io.RawIOBase):
    """An uploaded file as a stream; one part is held at a time."""

    def __init__(self, upload: int, kind: UploadedPart.Kind) -> None:
        self.parts = UploadedPart.objects.filter(upload=upload, kind=kind)
        self.number, self.read_bytes, self.rest = 0, 0, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.rest:
            part = self.parts.filter(number=self.number).values_list("content", flat=True).first()
            if part is None:
                return 0
            self.number, self.rest = self.number + 1, memoryview(part)
        size = min(len(buffer), len(self.rest))
        buffer[:size] = self.rest[:size]
        self.rest = self.rest[size:]
        self.read_bytes += size
        return size


def _report(found: GameLogUpload, file: Parts, rows: int) -> None:
    """In Redis, for the import's own transaction shows nothing before its end."""
    with suppress(redis.RedisError):
        client().set(_key(found.pk), f"{rows} {file.read_bytes / max(1, found.size_bytes):.4f}", ex=3600)


def progress(found: GameLogUpload) -> Progress | None:
    """How far the import is; None while none runs, or nobody can tell."""
    with suppress(redis.RedisError):
        said = client().get(_key(found.pk))
        if isinstance(said, bytes) and found.state == ImportState.WAITING:
            rows, share = said.split()
            return Progress(int(rows), float(share))
    return None


def _key(pk: int) -> str:
    return key(f"import:{pk}")
