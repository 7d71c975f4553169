"""Warming: a worker leases targets, computes them, and stores the results if the leases are still its own."""

import time
from collections.abc import Iterable, Iterator
from functools import cache

import structlog
from django.db.models.functions import Now

from caching.choices import WarmOutcome
from caching.derivations.result import TooFewGames, encode_payload
from caching.models import CacheEntry, CachePolicy, CacheTarget
from caching.warming.box_score_query import read_games
from caching.warming.compute import ReadGames, compute
from caching.warming.leases import lease_targets
from caching.warming.results import Computation, WarmResult
from caching.warming.write import store
from core.access.actors import Actor, require
from core.chunks import chunks
from core.errors import Refused, SlipwayError
from core.switches import Activation, Part

PERMISSION = "caching.warm_cachetarget"
CHUNK_TARGETS = 20  # leased and stored together
log = structlog.get_logger("slipway.caching")


def warm(targets: Iterable[CacheTarget], *, actor: Actor, force: bool = False) -> list[WarmResult]:
    """Compute the targets that are due, or all of them with `force`. Return one result per target, in their order.

    A target that fails keeps its old value, and its row holds the error. Raise Refused if the actor may not warm, or if
    warming is switched off.
    """
    return list(warm_each(targets, actor=actor, force=force))


def warm_each(targets: Iterable[CacheTarget], *, actor: Actor, force: bool = False) -> Iterator[WarmResult]:
    """Compute the targets as `warm` does, and yield each result as soon as it is stored."""
    require_warming(actor)
    policies = CachePolicy.objects.in_bulk()
    for chunk in chunks(targets, CHUNK_TARGETS):
        yield from _warm_together(chunk, policies, force=force)


def require_warming(actor: Actor) -> None:
    """Raise Refused if the actor may not warm, or if warming is switched off."""
    require(actor, PERMISSION)
    if not Activation.objects.allows(Part.WARMING):
        raise Refused("cannot warm: warming is switched off", "run: manage.py reactivate warming")


def _warm_together(targets: list[CacheTarget], policies: dict[str, CachePolicy], *, force: bool) -> list[WarmResult]:
    results = {} if force else _fresh_results(targets)
    fences = lease_targets([target for target in targets if target.pk not in results], force=force)
    # The targets of a sport share one query. The query runs under the leases, because an import that changes the box
    # scores takes the leases away.
    read = cache(read_games)
    leased = [target for target in targets if target.pk in fences]
    results |= store([_compute(target, fences[target.pk], read) for target in leased], policies)
    for target in targets:
        if target.pk not in results:  # another worker holds its lease
            results[target.pk] = WarmResult(target, WarmOutcome.BUSY)
    return [results[target.pk] for target in targets]


def _fresh_results(targets: list[CacheTarget]) -> dict[int, WarmResult]:
    """Return the results of the targets whose entry is fresh, by id: they are unchanged."""
    keys = [target.cache_key for target in targets]
    fresh = CacheEntry.objects.filter(cache_key__in=keys, soft_expires_at__gt=Now())
    by_key = {entry.cache_key: entry for entry in fresh.only("cache_key", "sample_size", "confidence")}
    results = {}
    for target in targets:
        entry = by_key.get(target.cache_key)
        if entry is not None:
            results[target.pk] = WarmResult(
                target, WarmOutcome.UNCHANGED, sample_size=entry.sample_size, confidence=entry.confidence
            )
    return results


def _compute(target: CacheTarget, fence: int, read: ReadGames) -> Computation:
    """Compute a leased target. Every error becomes the computation's problem, so that the other targets go on."""
    start = time.perf_counter()
    try:
        computed = compute(target, read)
        data = encode_payload(computed.payload)
    except (TooFewGames, SlipwayError) as error:
        problem = str(error)
    except Exception as error:
        log.exception("a derivation failed", target=target.cache_key)
        problem = f"unexpected {type(error).__name__} in the derivation"
    else:
        return Computation(target, fence, _milliseconds_since(start), computed, data)
    return Computation(target, fence, _milliseconds_since(start), problem=problem)


def _milliseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
