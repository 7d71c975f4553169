"""The category cache-population: the entries that consumers ask for exist and are fresh."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.urls import reverse

from caching.choices import CacheType
from caching.models import CacheEntry, CacheTarget
from core.health_checks import OFFENDING_AT_MOST, Finding, View, check, judged

CATEGORY = "cache-population"
WARM = "run: manage.py warm_caches; then see the last errors under Cache targets in the admin"
ENTRIES_AT_LEAST = 20
SAME_SUBJECT = {name: OuterRef(name) for name in ("cache_type", "sport", "subject", "model_version")}
REFRESH_LIMIT = timedelta(minutes=10)  # after the soft expiry; workers look for due entries every 30 s
LIFE_LIMIT = timedelta(hours=24)


@check("cache_entries_count", CATEGORY)
def cache_entries_count(view: View) -> Finding:
    """Count the cache entries. Limit: at least 20."""
    count = CacheEntry.objects.count()
    message = f"the cache has {count} entries"
    return judged(count >= ENTRIES_AT_LEAST, count, f"at least {ENTRIES_AT_LEAST}", message, remedy=WARM)


@check("cache_type_coverage", CATEGORY)
def cache_type_coverage(view: View) -> Finding:
    """Count the types that have an entry. Limit: all of them."""
    missing = [kind.label for kind in CacheType if not CacheEntry.objects.filter(cache_type=kind).exists()]
    return judged(
        not missing,
        f"{len(CacheType) - len(missing)} types",
        f"{len(CacheType)} types",
        f"no entry of type {', '.join(missing)}" if missing else "every type has entries",
        remedy=WARM,
        offending=missing,
    )


def is_served() -> Exists:
    """Return the condition that an enabled target names the entry. Other entries expire without being refreshed."""
    return Exists(CacheTarget.objects.filter(**SAME_SUBJECT, is_enabled=True))


@check("cache_expiry_status", CATEGORY)
def cache_expiry_status(view: View) -> Finding:
    """Count the served entries that are missing or have a wrong expiry. Limit: 0.

    An expiry is wrong if it is past, if it is more than 24 h ahead, or if the soft expiry is more than 10 min past. A
    flagged entry may be past its expiry, because an operator is examining it.
    """
    late = Q(expires_at__lt=Now()) | Q(soft_expires_at__lt=Now() - REFRESH_LIMIT)
    too_long = Q(expires_at__gt=Now() + LIFE_LIMIT)
    wrong = CacheEntry.objects.filter(is_served(), late | too_long, is_flagged=False)
    entries = list(wrong.order_by("expires_at").only("cache_key", "expires_at")[:OFFENDING_AT_MOST])
    names = {f"{entry.cache_key}: expires {entry.expires_at:%Y-%m-%d %H:%M} UTC": entry for entry in entries}
    failed = [f"{target}: no entry, {target.last_error}" for target in _failed_targets()]
    count = wrong.count() + len(failed)
    return judged(
        count == 0,
        f"{count} entries",
        "0 entries",
        f"{count} entries are missing, expired, refreshed late, or expire more than 24 h ahead"
        if count
        else "all entries are refreshed in time",
        remedy="check that workers of the queue slow run and that warming is on; then run: manage.py warm_caches",
        offending=[*names, *failed],
        count=count,
        links={name: reverse("admin:caching_cacheentry_change", args=[entry.pk]) for name, entry in names.items()},
    )


def _failed_targets() -> "QuerySet[CacheTarget]":
    """Return the first enabled targets whose computation failed, and which have no entry."""
    targets = CacheTarget.objects.filter(is_enabled=True).exclude(last_error="")
    return targets.filter(~Exists(CacheEntry.objects.filter(**SAME_SUBJECT))).order_by("pk")[:OFFENDING_AT_MOST]
