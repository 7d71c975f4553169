"""Leases on targets, and storing what was computed under them; a late worker stores nothing."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Self

import orjson
import structlog
from django.db import DatabaseError, OperationalError, connection, transaction

from caching import sql
from caching.choices import Outcome
from caching.derivations.result import Computed
from caching.models import CachePolicy, CacheTarget
from caching.tiers.entries import ENTRIES, record_of
from caching.tiers.records import Record
from core.errors import first_line
from core.switches import Part
from rollout.models import Activation

LEASE_SECONDS = 60  # many times what twenty targets of 4,000 games take
OFF = "warming was switched off"
log = structlog.get_logger("slipway.caching")


@dataclass(frozen=True, slots=True)
class Result:
    """What a leased target gave: `computed` and its payload as JSON, or a problem."""

    target: CacheTarget
    fence: int
    ms: float
    computed: Computed | None = None
    data: bytes = b""
    problem: str = ""


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

    @classmethod
    def of(cls, target: CacheTarget, outcome: Outcome, **more: Any) -> Self:
        return cls(target.cache_key, target.cache_type, target.sport, target.subject, outcome, **more)

    def document(self) -> dict[str, Any]:
        told = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "record"}
        return told | {"outcome": self.outcome.value}


def lease(targets: Sequence[CacheTarget], *, force: bool) -> dict[int, int]:
    """The fences of those that nobody else is at, by their ids; without `force` of those alone that are still due."""
    if not targets:
        return {}
    with connection.cursor() as cursor:
        wanted = [target.pk for target in targets]
        cursor.execute(sql.LEASE_TARGETS, {"targets": wanted, "lease_seconds": LEASE_SECONDS, "force": force})
        return dict(cursor.fetchall())


def store(results: Sequence[Result], policies: Mapping[str, CachePolicy]) -> dict[int, Warmed]:
    """Together in one transaction; where the database refuses that, one by one, so that one costs no other."""
    if not results:
        return {}
    try:
        return _store(results, policies)
    except DatabaseError as error:
        if len(results) > 1:
            return {pk: warmed for result in results for pk, warmed in store([result], policies).items()}
        [result] = results
        with suppress(OperationalError):  # the connection, or a deadlock: it may well go the second time
            return _store(results, policies) if isinstance(error, OperationalError) else _refused(result, error)
        raise


def _refused(result: Result, error: DatabaseError) -> dict[int, Warmed]:
    problem = "the database refused it"
    said = first_line(error, "no reason")
    log.warning("an entry could not be stored", target=result.target.cache_key, problem=said)
    with connection.cursor() as cursor:
        _end_leases(cursor, [(result, f"{problem}: {said}")])
    return {result.target.pk: Warmed.of(result.target, Outcome.FAILED, ms=result.ms, problem=problem)}


@transaction.atomic
def _store(results: Sequence[Result], policies: Mapping[str, CachePolicy]) -> dict[int, Warmed]:
    """Write those whose lease is still this worker's and whose version is still the wanted one, unless warming was
    switched off meanwhile.
    """
    with connection.cursor() as cursor:
        held = _hold(cursor, results)
        mine = [result for result in results if result.target.pk in held]
        is_on = Activation.objects.holds(Part.WARMING)
        good = [(result, result.computed) for result in mine if result.computed]
        written = _write(cursor, good, policies) if is_on else {}
        _end_leases(cursor, [(result, result.problem if is_on else OFF) for result in mine])
    ENTRIES.announce(
        {result.target.about: written[pk].record for result in mine if (pk := result.target.pk) in written}
    )
    lost = Outcome.BUSY, Outcome.FAILED if is_on else Outcome.OFF
    return {
        result.target.pk: written.get(result.target.pk)
        or Warmed.of(result.target, lost[result.target.pk in held], ms=result.ms, problem=result.problem)
        for result in results
    }


def _hold(cursor: Any, results: Sequence[Result]) -> set[int]:
    targets = [result.target for result in results]
    cursor.execute(
        sql.HOLD_TARGETS,
        {
            "targets": [target.pk for target in targets],
            "fences": [result.fence for result in results],
            "versions": [target.model_version for target in targets],
        },
    )
    return {pk for (pk,) in cursor.fetchall()}


def _end_leases(cursor: Any, ended: Iterable[tuple[Result, str]]) -> None:
    rows = [(result.target.pk, result.fence, error) for result, error in ended]
    if rows:
        targets, fences, errors = map(list, zip(*rows, strict=True))
        cursor.execute(sql.END_LEASES, {"targets": targets, "fences": fences, "errors": errors})


def _write(
    cursor: Any, good: Sequence[tuple[Result, Computed]], policies: Mapping[str, CachePolicy]
) -> dict[int, Warmed]:
    """The entries of held targets, in one statement."""
    if not good:
        return {}
    by_key = {result.target.cache_key: (result, computed) for result, computed in good}
    cursor.execute(sql.LOCK_ENTRIES, {"keys": list(by_key)})
    before = dict(cursor.fetchall())
    rows = [_row(result, computed, policies[result.target.cache_type]) for result, computed in good]
    cursor.execute(sql.STORE_ENTRIES, {"rows": orjson.dumps(rows).decode()})
    written = {}
    for key, version, *columns in cursor.fetchall():
        result, computed = by_key[key]
        written[result.target.pk] = Warmed.of(
            result.target,
            Outcome.UNCHANGED if before.get(key) == version else Outcome.WRITTEN,
            sample_size=computed.sample_size,
            confidence=computed.confidence,
            ms=result.ms,
            record=record_of(result.data, columns),
        )
    return written


def _row(result: Result, computed: Computed, policy: CachePolicy) -> dict[str, Any]:
    target = result.target
    return {
        "cache_key": target.cache_key,
        "cache_type": target.cache_type,
        "data_json": result.data.decode(),
        "sport": target.sport,
        "subject": target.subject,
        "model_version": target.model_version,
        "data_hash": hashlib.sha256(result.data).hexdigest(),
        "context": computed.context,
        "narrative": computed.narrative,
        "key_points": computed.key_points,
        "confidence": computed.confidence,
        "sample_size": computed.sample_size,
        "ms": result.ms,
        "size": len(result.data),
        "ttl": round(policy.ttl_hours * 3600),
        "soft": policy.soft_fraction,
    }
