"""Storing computed entries, under the leases of their targets; a late worker stores nothing."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
import structlog
from django.db import DatabaseError, OperationalError, connection, transaction

from caching import sql
from caching.choices import WarmOutcome
from caching.derivations.result import Computed
from caching.models import CachePolicy
from caching.tiers.entries import ENTRIES, record_of
from caching.warming.leases import end_leases, hold_leases
from caching.warming.results import Computation, WarmResult
from core.errors import first_line
from core.switches import Activation, Part

SWITCHED_OFF = "warming was switched off"
log = structlog.get_logger("slipway.caching")


def store(computations: Sequence[Computation], policies: Mapping[str, CachePolicy]) -> dict[int, WarmResult]:
    """Store the computations, in one transaction. Return the result of each target, by its id.

    If the database refuses the transaction, each computation is stored on its own, so that one that is refused costs no
    other. Raise OperationalError if the second attempt to store a single one ends with it too.

    policies: by type of entry.
    """
    if not computations:
        return {}
    try:
        return _store_together(computations, policies)
    except DatabaseError as error:
        if len(computations) == 1:
            return _store_again(computations[0], policies, error)
    results: dict[int, WarmResult] = {}
    for computation in computations:
        results |= store([computation], policies)
    return results


def _store_again(
    computation: Computation, policies: Mapping[str, CachePolicy], error: DatabaseError
) -> dict[int, WarmResult]:
    """Try once more after a lost connection or a deadlock. Give the target up after any other error."""
    if isinstance(error, OperationalError):
        with suppress(OperationalError):
            return _store_together([computation], policies)
        raise error
    return _give_up(computation, error)


def _give_up(computation: Computation, error: DatabaseError) -> dict[int, WarmResult]:
    problem = "the database refused it"
    reason = first_line(error, "no reason")
    log.warning("cannot store an entry", target=computation.target.cache_key, problem=reason)
    with connection.cursor() as cursor:
        end_leases(cursor, [(computation, f"{problem}: {reason}")])
    result = WarmResult(computation.target, WarmOutcome.FAILED, ms=computation.ms, problem=problem)
    return {computation.target.pk: result}


@transaction.atomic
def _store_together(computations: Sequence[Computation], policies: Mapping[str, CachePolicy]) -> dict[int, WarmResult]:
    """Store the computations whose lease is still this worker's and whose version is still wanted.

    If warming was switched off since, store none. The leases end with the transaction.
    """
    with connection.cursor() as cursor:
        held_ids = hold_leases(cursor, computations)
        held = [each for each in computations if each.target.pk in held_ids]
        is_on = Activation.objects.holds(Part.WARMING)
        written: dict[int, WarmResult] = {}
        if is_on:
            written = _write_entries(cursor, held, policies)
            end_leases(cursor, [(each, each.problem) for each in held])
        else:
            end_leases(cursor, [(each, SWITCHED_OFF) for each in held])
    announced = {each.target.about: written[each.target.pk].record for each in held if each.target.pk in written}
    ENTRIES.announce(announced)
    results: dict[int, WarmResult] = {}
    for each in computations:
        pk = each.target.pk
        if pk in written:
            results[pk] = written[pk]
        else:
            outcome = _outcome_of_unwritten(is_held=pk in held_ids, is_on=is_on)
            results[pk] = WarmResult(each.target, outcome, ms=each.ms, problem=each.problem)
    return results


def _outcome_of_unwritten(*, is_held: bool, is_on: bool) -> WarmOutcome:
    if not is_held:
        return WarmOutcome.BUSY
    return WarmOutcome.FAILED if is_on else WarmOutcome.OFF


def _write_entries(
    cursor: Any, held: Sequence[Computation], policies: Mapping[str, CachePolicy]
) -> dict[int, WarmResult]:
    """Write the entries of the held targets that were computed, in one statement. Return their results."""
    by_key = {each.target.cache_key: (each, each.computed) for each in held if each.computed is not None}
    if not by_key:
        return {}
    cursor.execute(sql.LOCK_ENTRIES, {"keys": list(by_key)})
    versions_before = dict(cursor.fetchall())
    rows = [_row_of(each, computed, policies[each.target.cache_type]) for each, computed in by_key.values()]
    cursor.execute(sql.STORE_ENTRIES, {"rows": orjson.dumps(rows).decode()})
    written = {}
    for key, version, *columns in cursor.fetchall():
        computation, computed = by_key[key]
        is_same = versions_before.get(key) == version
        written[computation.target.pk] = WarmResult(
            computation.target,
            WarmOutcome.UNCHANGED if is_same else WarmOutcome.WRITTEN,
            sample_size=computed.sample_size,
            confidence=computed.confidence,
            ms=computation.ms,
            record=record_of(computation.data, columns),
        )
    return written


def _row_of(computation: Computation, computed: Computed, policy: CachePolicy) -> dict[str, Any]:
    """Return the row that sql.STORE_ENTRIES takes."""
    target = computation.target
    return {
        "cache_key": target.cache_key,
        "cache_type": target.cache_type,
        "data_json": computation.data.decode(),
        "sport": target.sport,
        "subject": target.subject,
        "model_version": target.model_version,
        "data_hash": hashlib.sha256(computation.data).hexdigest(),
        "context": computed.context,
        "narrative": computed.narrative,
        "key_points": computed.key_points,
        "confidence": computed.confidence,
        "sample_size": computed.sample_size,
        "ms": computation.ms,
        "size": len(computation.data),
        "ttl": round(policy.ttl_hours * 3600),
        "soft": policy.soft_fraction,
    }
