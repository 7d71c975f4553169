"""The operations on the caches, one callable per verb."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import F, Model, QuerySet
from django.db.models.functions import Now

from caching import sql
from caching.choices import CacheType
from caching.models import CONFIGURATION, CacheEntry, CachePolicy, CacheTarget, CacheValue
from caching.tiers.entries import ENTRIES, stamp_now
from caching.warming.requests import request_warm_up
from caching.warming.warm import warm
from core.access.actors import Actor, require
from core.access.audit import acting
from core.db.batches import PRUNE_BATCH, run_in_batches
from core.switches import Activation, Part
from providers.models import GameLog

DUE_AT_MOST = 1000  # targets of one refresh


def find_targets(cache_type: CacheType | None = None, sport: str | None = None) -> "QuerySet[CacheTarget]":
    """Return the enabled targets of the type and the sport; of all if None."""
    enabled = CacheTarget.objects.filter(is_enabled=True)
    enabled = enabled.filter(cache_type=cache_type) if cache_type else enabled
    return enabled.filter(sport=sport) if sport else enabled


def warm_due(*, actor: Actor) -> int:
    """Refresh the entries that are due or missing. Return how many targets were handled.

    If warming is switched off, return 0.
    """
    if not Activation.objects.allows(Part.WARMING):
        return 0
    return len(warm(CacheTarget.objects.raw(sql.DUE_TARGETS, {"limit": DUE_AT_MOST}), actor=actor))


def outdate(sport: str) -> int:
    """Make the sport's entries due, because its box scores changed. Return how many entries became due.

    The import that changes the box scores calls this in its own transaction.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(sql.FENCE_SPORT, {"sport": sport})
        return _change_entries(sql.OUTDATE, {"sport": sport})


def count_expirable() -> int:
    """Return how many entries and values `expire` would delete now."""
    entries = (
        CacheEntry.objects.filter(cache_type=policy.pk, is_flagged=False)
        .filter(expires_at__lt=Now() - timedelta(hours=policy.grace_hours))
        .count()
        for policy in CachePolicy.objects.all()
    )
    return sum(entries) + CacheValue.objects.filter(expires_at__lt=Now()).count()


def expire(batch_size: int = PRUNE_BATCH, *, actor: Actor, progress: Callable[[int], None] | None = None) -> int:
    """Delete the entries whose grace is over, and the expired values of the Django cache backend. Return their number.

    Flagged entries are kept. Each batch has a transaction of its own.

    batch_size: rows per transaction. progress: called after each batch with the number of its rows.
    """
    require(actor, "caching.expire_cacheentry")
    statements = (sql.EXPIRE, sql.EXPIRE_VALUES)
    return sum(run_in_batches(statement, batch_size, progress=progress) for statement in statements)


@transaction.atomic
def delete_all_entries() -> None:
    """Delete all entries, flagged ones too, from the table and from every tier."""
    with connection.cursor() as cursor:
        cursor.execute(sql.DELETE_ALL_ENTRIES)
    ENTRIES.announce_clear(stamp_now())


def drop_restored_values(restored: frozenset[type[Model]]) -> None:
    """Drop from the tiers what a restore may have replaced.

    If only box scores were restored, the entries that were computed from others become due.

    restored: the models whose tables were restored.
    """
    if CacheEntry in restored:
        ENTRIES.announce_clear(stamp_now())
    elif GameLog in restored:
        for sport in CacheTarget.objects.order_by().values_list("sport", flat=True).distinct():
            outdate(sport)


def expire_now(entries: Iterable[int], *, actor: Actor) -> int:
    """Make the entries, given by id, stale, so that they are refreshed. Return how many changed."""
    require(actor, "caching.expire_cacheentry")
    return _change_entries(sql.EXPIRE_NOW, {"entries": list(entries)})


@transaction.atomic
def _change_entries(statement: str, params: Mapping[str, str | list[int]]) -> int:
    """Run a statement that changes the times of entries, and announce them. Return how many changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        changed = cursor.fetchall()
    if changed:
        keys = [CacheType(cache_type).about(sport, subject) for cache_type, sport, subject, _ in changed]
        ENTRIES.announce(dict.fromkeys(keys), max(stamp for *_, stamp in changed))
    return len(changed)


def flag(entries: Iterable[int], *, actor: Actor) -> int:
    """Flag the entries, given by id, that are not flagged, and unflag the others. Return how many changed."""
    require(actor, "caching.flag_cacheentry")
    with connection.cursor() as cursor:
        cursor.execute(sql.FLAG, {"entries": list(entries)})
        return int(cursor.rowcount)


def warm_entries(entries: Iterable[int], *, actor: Actor) -> int:
    """Ask a worker to compute the targets of these entries, given by id. Return the number of targets."""
    concerned = CacheTarget.objects.raw(sql.TARGETS_OF_ENTRIES, {"entries": list(entries)})
    return request_warm_up([target.pk for target in concerned], actor=actor)


def warm_targets(pks: Iterable[int], *, actor: Actor) -> int:
    """Ask a worker to compute these targets, given by id, if they are enabled. Return their number."""
    return request_warm_up(find_targets().filter(pk__in=list(pks)).values_list("pk", flat=True), actor=actor)


@transaction.atomic
def save_configuration(row: CacheTarget | CachePolicy, *, actor: Actor) -> None:
    """Add a row, or store its configuration.

    A target with another version is computed by the next reader or refresh, and a worker that computes the old version
    stores nothing. A changed policy applies to what is computed from then on; its grace applies to what is read from
    the table from then on.
    """
    verb = "add" if row._state.adding else "change"
    require(actor, f"caching.{verb}_{row._meta.model_name}")
    with acting(actor, verb):
        if isinstance(row, CachePolicy):
            row.save()
            return
        concerned = [*_lock_targets([row.pk] if verb == "change" else []), row]
        if verb == "add":
            row.save()
        else:
            row.fence, row.lease_until = F("fence") + 1, None
            row.save(update_fields=[*CONFIGURATION, "fence", "lease_until"])
        _announce_targets(concerned)


@transaction.atomic
def delete_targets(pks: Iterable[int], *, actor: Actor) -> int:
    """Delete the targets, so that their entries are neither refreshed nor served. Return how many were deleted."""
    require(actor, "caching.delete_cachetarget")
    concerned = _lock_targets(list(pks))
    with acting(actor, "delete"):
        CacheTarget.objects.filter(pk__in=[target.pk for target in concerned]).delete()
    _announce_targets(concerned)
    return len(concerned)


def _lock_targets(pks: list[int]) -> list[CacheTarget]:
    """Lock the targets by id, in the order in which a worker that stores entries locks them.

    Until this transaction ends, no worker stores or announces an entry of theirs.
    """
    return list(CacheTarget.objects.select_for_update().filter(pk__in=pks).order_by("pk"))


def _announce_targets(concerned: list[CacheTarget]) -> None:
    """Make every reader look again for the values of these targets, as they were and as they are."""
    ENTRIES.announce(dict.fromkeys(target.about for target in concerned), stamp_now())
