"""cache-population: what is to be served is there, and is kept fresh."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.urls import reverse

from caching.choices import CacheType
from caching.models import CacheEntry, CacheTarget
from core.health_checks import OFFENDING_AT_MOST, Finding, View, check, judged

CATEGORY = "cache-population"
WARM = "run: manage.py warm_caches, and see the last errors under Targets"
ENTRIES = 20
SAME_SUBJECT = {name: OuterRef(name) for name in ("cache_type", "sport", "subject", "model_version")}
KEEPS_UP = timedelta(minutes=10)  # the workers look every 30 s
FURTHEST = timedelta(hours=24)


@check("cache_entries_count", CATEGORY)
def cache_entries_count(view: View) -> Finding:
    count = CacheEntry.objects.count()
    return judged(count >= ENTRIES, count, f"at least {ENTRIES}", f"{count} cache entries", remedy=WARM)


@check("cache_type_coverage", CATEGORY)
def cache_type_coverage(view: View) -> Finding:
    missing = [kind.label for kind in CacheType if not CacheEntry.objects.filter(cache_type=kind).exists()]
    said = f"no entry of type {', '.join(missing)}" if missing else "each type has entries"
    whole = len(CacheType)
    return judged(not missing, f"{whole - len(missing)} types", f"{whole} types", said, remedy=WARM, offending=missing)


def served() -> Exists:
    """Whether an entry is the one that its target names; the others go by themselves."""
    return Exists(CacheTarget.objects.filter(**SAME_SUBJECT, is_enabled=True))


@check("cache_expiry_status", CATEGORY)
def cache_expiry_status(view: View) -> Finding:
    """Of what is served. A flagged entry may be past its expiry: somebody looks at it."""
    late = Q(expires_at__lt=Now()) | Q(soft_expires_at__lt=Now() - KEEPS_UP)
    wrong = CacheEntry.objects.filter(served(), late | Q(expires_at__gt=Now() + FURTHEST), is_flagged=False)
    rows = list(wrong.order_by("expires_at").only("cache_key", "expires_at")[:OFFENDING_AT_MOST])
    names = {f"{entry.cache_key}: expires {entry.expires_at:%Y-%m-%d %H:%M} UTC": entry for entry in rows}
    none = [f"{target}: no entry, {target.last_error}" for target in _tried_in_vain()]
    count = wrong.count() + len(none)
    return judged(
        count == 0,
        f"{count} entries",
        "0 entries",
        f"{count} entries are missing, expired, not refreshed in time, or expire later than in 24 h"
        if count
        else "all entries are refreshed in time",
        remedy="see that workers of the queue slow run and warming is on; then: manage.py warm_caches",
        offending=[*names, *none],
        count=count,
        links={name: reverse("admin:caching_cacheentry_change", args=[row.pk]) for name, row in names.items()},
    )


def _tried_in_vain() -> "QuerySet[CacheTarget]":
    targets = CacheTarget.objects.filter(is_enabled=True).exclude(last_error="")
    return targets.filter(~Exists(CacheEntry.objects.filter(**SAME_SUBJECT))).order_by("pk")[:OFFENDING_AT_MOST]
