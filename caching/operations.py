"""What can be done with the caches: one callable per verb."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Model, QuerySet
from django.db.models.functions import Now

from caching import sql
from caching.choices import CacheType
from caching.models import CONFIGURATION, CacheEntry, CachePolicy, CacheTarget, CacheValue
from caching.tiers.entries import ENTRIES, stamp_now
from caching.warming import requests
from caching.warming.warm import warm
from core.access.actors import Actor, require
from core.access.audit import acting
from core.db.batches import PRUNE_BATCH, in_batches
from core.switches import Part
from providers.models import GameLog
from rollout.models import Activation

DUE_AT_ONCE = 1000


def targets(cache_type: CacheType | None = None, sport: str | None = None) -> "QuerySet[CacheTarget]":
    """The enabled ones in scope."""
    found = CacheTarget.objects.filter(is_enabled=True)
    found = found.filter(cache_type=cache_type) if cache_type else found
    return found.filter(sport=sport) if sport else found


def warm_due(*, actor: Actor) -> int:
    """Refresh what is past its soft expiry, or missing. Returns how many targets were computed."""
    if not Activation.objects.allows(Part.WARMING):
        return 0
    return len(warm(CacheTarget.objects.raw(sql.DUE_TARGETS, {"limit": DUE_AT_ONCE}), actor=actor))


def outdate(sport: str) -> int:
    """Have the sport's entries refreshed, for there are newer box scores: part of the import that brought them."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(sql.FENCE_SPORT, {"sport": sport})
        return _change(sql.OUTDATE, sport=sport)


def expirable() -> int:
    """How many entries and values `expire` would delete now."""
    entries = (
        CacheEntry.objects.filter(cache_type=policy.pk, is_flagged=False)
        .filter(expires_at__lt=Now() - timedelta(hours=policy.grace_hours))
        .count()
        for policy in CachePolicy.objects.all()
    )
    return sum(entries) + CacheValue.objects.filter(expires_at__lt=Now()).count()


def expire(batch_size: int = PRUNE_BATCH, *, actor: Actor, progress: Callable[[int], None] = lambda more: None) -> int:
    """Delete entries whose grace is over but for flagged ones, and values of the Django cache backend past their
    expiry, a batch per transaction. Returns how many those were.
    """
    require(actor, "caching.expire_cacheentry")
    statements = (sql.EXPIRE, sql.EXPIRE_VALUES)
    return sum(in_batches(statement, batch_size, progress=progress) for statement in statements)


@transaction.atomic
def delete_all_entries() -> None:
    """Flagged ones too; no tier holds one any more."""
    CacheEntry.objects.all()._raw_delete(using=CacheEntry.objects.db)
    ENTRIES.announce_clear(stamp_now())


def forget_what_was_held(restored: frozenset[type[Model]]) -> None:
    """Entries were put back: whatever a tier holds may be another. Box scores alone were: what was computed is due."""
    if CacheEntry in restored:
        ENTRIES.announce_clear(stamp_now())
    elif GameLog in restored:
        for sport in CacheTarget.objects.order_by().values_list("sport", flat=True).distinct():
            outdate(sport)


def expire_now(entries: Iterable[int], *, actor: Actor) -> int:
    """Have them refreshed: from now on they are stale."""
    require(actor, "caching.expire_cacheentry")
    return _change(sql.EXPIRE_NOW, entries=list(entries))


@transaction.atomic
def _change(statement: str, **params: Any) -> int:
    """Run a statement that changes entries' times, and tell whoever holds them. Returns how many those are."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        changed = cursor.fetchall()
    if changed:
        keys = [CacheType(cache_type).about(sport, subject) for cache_type, sport, subject, _ in changed]
        ENTRIES.announce(dict.fromkeys(keys), max(stamp for *_, stamp in changed))
    return len(changed)


def flag(entries: Iterable[int], *, actor: Actor) -> int:
    """Flag those that are not, and take the flag from those that are."""
    require(actor, "caching.flag_cacheentry")
    with connection.cursor() as cursor:
        cursor.execute(sql.FLAG, {"entries": list(entries)})
        return int(cursor.rowcount)


def warm_entries(entries: Iterable[int], *, actor: Actor) -> int:
    """Have a worker compute the targets of these entries again. Returns how many those are."""
    found = CacheTarget.objects.raw(sql.TARGETS_OF_ENTRIES, {"entries": list(entries)})
    return requests.request([target.pk for target in found], actor=actor)


def warm_targets(pks: Iterable[int], *, actor: Actor) -> int:
    """Have a worker compute these targets again. Returns how many that are."""
    return requests.request(targets().filter(pk__in=list(pks)).values_list("pk", flat=True), actor=actor)


@transaction.atomic
def save(row: CacheTarget | CachePolicy, *, actor: Actor) -> None:
    """Create a row, or store its configuration. A target of another version is computed at once, and not by whoever is
    at the old one; a policy's change shows in what is read anew.
    """
    verb = "add" if row._state.adding else "change"
    require(actor, f"caching.{verb}_{row._meta.model_name}")
    with acting(actor, verb):
        if isinstance(row, CachePolicy):
            row.save()
            return
        concerned = [*_locked([row.pk] if verb == "change" else []), row]
        if verb == "add":
            row.save()
        else:
            row.fence, row.lease_until = F("fence") + 1, None
            row.save(update_fields=[*CONFIGURATION, "fence", "lease_until"])
        _tell(concerned)


@transaction.atomic
def delete_targets(pks: Iterable[int], *, actor: Actor) -> int:
    """Keep them warm no more; their entries are served no more."""
    require(actor, "caching.delete_cachetarget")
    concerned = _locked(list(pks))
    with acting(actor, "delete"):
        CacheTarget.objects.filter(pk__in=[target.pk for target in concerned]).delete()
    _tell(concerned)
    return len(concerned)


def _locked(pks: list[int]) -> list[CacheTarget]:
    """By id, as whoever stores does. From then on nobody announces an entry of theirs before this transaction ends."""
    return list(CacheTarget.objects.select_for_update().filter(pk__in=pks).order_by("pk"))


def _tell(concerned: list[CacheTarget]) -> None:
    """Readers look again for what these targets are, or were, about."""
    ENTRIES.announce(dict.fromkeys(target.about for target in concerned), stamp_now())
