"""Computing what is to be kept warm, one worker per target; a late one writes nothing."""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
import structlog
from django.db import connection, transaction
from django.db.models.functions import Now

from caching import sql
from caching.choices import Outcome
from caching.compute import Read, compute
from caching.entries import ENTRIES, record_of
from caching.models import CacheEntry, CachePolicy, CacheTarget
from caching.reading import read_games
from caching.records import Record
from caching.warmers.entry import Computed, TooFewGames, encode
from rollout.actors import Actor, require
from rollout.choices import Part
from rollout.errors import Refused, SlipwayError
from rollout.models import Activation

LEASE_SECONDS = 60  # many times what a target of 4,000 games takes
log = structlog.get_logger("slipway.caching")


@dataclass(frozen=True, slots=True)
class Warmed:
    """How the warming of one target went; sample and confidence are those of what stands now."""

    cache_key: str
    cache_type: str
    sport: str
    subject: str
    outcome: Outcome
    sample_size: int = 0
    confidence: float = 0.0
    ms: float = 0.0
    problem: str = ""
    record: Record | None = None  # what was stored

    def document(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in self.__slots__ if name != "record"}
        return told | {"outcome": self.outcome.value}


def warm(
    wanted: Iterable[CacheTarget],
    *,
    actor: Actor,
    force: bool = False,
    progress: Callable[[Warmed], None] = lambda warmed: None,
) -> list[Warmed]:
    """Compute those of them that are due, or with `force` all. Raises Refused while warming is switched off.

    One that fails keeps its old value, and says why on its own row.
    """
    require(actor, "caching.warm_cachetarget")
    if not Activation.objects.allows(Part.WARMING):
        raise Refused("warming is switched off", "switch it on again: manage.py reactivate warming")
    policies = CachePolicy.objects.in_bulk()
    read = cache(read_games)  # the targets of a sport share its box scores
    done = []
    for target in wanted:
        done.append(_warm_one(target, policies[target.cache_type], read, force=force))
        progress(done[-1])
    return done


def _warm_one(target: CacheTarget, policy: CachePolicy, read: Read, *, force: bool) -> Warmed:
    stands = CacheEntry.objects.for_target(target)
    fresh = None if force else stands.filter(soft_expires_at__gt=Now()).first()
    if fresh:
        return _warmed(target, Outcome.UNCHANGED, fresh.sample_size, fresh.confidence)
    fence = _lease(target)
    if fence is None:
        return _warmed(target, Outcome.BUSY)
    start, problem = time.perf_counter(), ""
    try:
        computed = compute(target, read)
        data = encode(computed.payload)
    except (TooFewGames, SlipwayError) as error:
        problem = str(error)
    except Exception as error:  # a fault of ours is on record too, and the others go on
        log.exception("the warmer broke", target=target.cache_key)
        problem = f"unexpected {type(error).__name__} in the warmer"
    ms = (time.perf_counter() - start) * 1000
    if problem:
        _end_lease(target, fence, problem)
        return _warmed(target, Outcome.FAILED, ms=ms, problem=problem)
    outcome, record = _store(target, fence, _row(target, policy, computed, data, ms), data)
    return _warmed(target, outcome, computed.sample_size, computed.confidence, ms, record=record)


def _warmed(
    target: CacheTarget, outcome: Outcome, sample: int = 0, confidence: float = 0.0, ms: float = 0.0, **more: Any
) -> Warmed:
    of_target = target.cache_key, target.cache_type, target.sport, target.subject
    return Warmed(*of_target, outcome, sample, confidence, ms, **more)


def _lease(target: CacheTarget) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(sql.LEASE_TARGET, {"target": target.pk, "lease_seconds": LEASE_SECONDS})
        row = cursor.fetchone()
    return row[0] if row else None


def _end_lease(target: CacheTarget, fence: int, error: str = "") -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.END_LEASE, {"target": target.pk, "fence": fence, "error": error})


@transaction.atomic
def _store(target: CacheTarget, fence: int, row: dict[str, Any], data: bytes) -> tuple[Outcome, Record | None]:
    """Write, if the lease is still this worker's, the version still the wanted one, and warming not switched off."""
    with connection.cursor() as cursor:
        cursor.execute(sql.HOLD_TARGET, {"target": target.pk, "fence": fence, "model_version": target.model_version})
        if cursor.rowcount == 0:
            return Outcome.BUSY, None
        if not Activation.objects.allows(Part.WARMING):
            _end_lease(target, fence, "warming was switched off")
            return Outcome.OFF, None
        before = CacheEntry.objects.for_target(target).values_list("version", flat=True).first()
        cursor.execute(sql.STORE_ENTRY, row)
        version, is_new, *columns = cursor.fetchone()
        _end_lease(target, fence)
    record = record_of(data, columns)
    ENTRIES.announce({target.about: record})
    return Outcome.WRITTEN if is_new or version != before else Outcome.UNCHANGED, record


def _row(target: CacheTarget, policy: CachePolicy, computed: Computed, data: bytes, ms: float) -> dict[str, Any]:
    return {
        "cache_key": target.cache_key,
        "cache_type": target.cache_type,
        "data_json": data.decode(),
        "sport": target.sport,
        "subject": target.subject,
        "model_version": target.model_version,
        "data_hash": hashlib.sha256(data).hexdigest(),
        "context": orjson.dumps(computed.context).decode(),
        "narrative": computed.narrative,
        "key_points": orjson.dumps(computed.key_points).decode(),
        "confidence": computed.confidence,
        "sample_size": computed.sample_size,
        "ms": ms,
        "size": len(data),
        "ttl": round(policy.ttl_hours * 3600),
        "soft": policy.soft_fraction,
    }
