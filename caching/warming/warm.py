"""Computing what is to be kept warm: a worker leases targets, computes them, and stores what it still may."""

import time
from collections.abc import Callable, Iterable
from functools import cache
from itertools import islice

import structlog
from django.db.models.functions import Now

from caching.choices import Outcome
from caching.derivations.result import TooFewGames, encode
from caching.models import CacheEntry, CachePolicy, CacheTarget
from caching.warming.box_score_query import read_games
from caching.warming.compute import Read, compute
from caching.warming.leases import Result, Warmed, lease, store
from core.access.actors import Actor, require
from core.errors import Refused, SlipwayError
from core.switches import Part
from rollout.models import Activation

PERMISSION = "caching.warm_cachetarget"
AT_ONCE = 20  # targets that are leased and stored together
log = structlog.get_logger("slipway.caching")


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
    require_warming(actor)
    policies = CachePolicy.objects.in_bulk()
    done, left = [], iter(wanted)
    while some := list(islice(left, AT_ONCE)):
        for warmed in _warm(some, policies, force=force):
            done.append(warmed)
            progress(warmed)
    return done


def require_warming(actor: Actor) -> None:
    """Raises Refused where the actor may not warm, or nobody may now."""
    require(actor, PERMISSION)
    if not Activation.objects.allows(Part.WARMING):
        raise Refused("warming is switched off", "switch it on again: manage.py reactivate warming")


def _warm(some: list[CacheTarget], policies: dict[str, CachePolicy], *, force: bool) -> list[Warmed]:
    ended = {} if force else _fresh(some)
    fences = lease([target for target in some if target.pk not in ended], force=force)
    read = cache(read_games)  # shared by the targets of a sport; begun under the leases, which an import takes away
    results = [_compute(target, fences[target.pk], read) for target in some if target.pk in fences]
    ended |= store(results, policies)
    return [ended.get(target.pk) or Warmed.of(target, Outcome.BUSY) for target in some]


def _fresh(some: list[CacheTarget]) -> dict[int, Warmed]:
    found = CacheEntry.objects.filter(cache_key__in=[target.cache_key for target in some], soft_expires_at__gt=Now())
    by_key = {entry.cache_key: entry for entry in found.only("cache_key", "sample_size", "confidence")}
    return {
        target.pk: Warmed.of(target, Outcome.UNCHANGED, sample_size=entry.sample_size, confidence=entry.confidence)
        for target in some
        if (entry := by_key.get(target.cache_key))
    }


def _compute(target: CacheTarget, fence: int, read: Read) -> Result:
    start, problem = time.perf_counter(), ""
    try:
        computed = compute(target, read)
        data = encode(computed.payload)
        return Result(target, fence, (time.perf_counter() - start) * 1000, computed, data)
    except (TooFewGames, SlipwayError) as error:
        problem = str(error)
    except Exception as error:  # a fault of ours is on record too, and the others go on
        log.exception("the warmer broke", target=target.cache_key)
        problem = f"unexpected {type(error).__name__} in the warmer"
    return Result(target, fence, (time.perf_counter() - start) * 1000, problem=problem)
