"""cache-population: what is to be served is there, and is kept fresh."""

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from caching.choices import CacheType
from caching.models import CacheEntry
from rollout.criteria import OFFENDING_AT_MOST, Finding, View, check, judged

CATEGORY = "cache-population"
WARM = "run: manage.py warm_caches, and see the last errors under Targets"
ENTRIES = 20
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


@check("cache_expiry_status", CATEGORY)
def cache_expiry_status(view: View) -> Finding:
    """A flagged entry may be past its expiry: somebody looks at it."""
    late = Q(expires_at__lt=Now()) | Q(soft_expires_at__lt=Now() - KEEPS_UP)
    wrong = CacheEntry.objects.filter(late | Q(expires_at__gt=Now() + FURTHEST), is_flagged=False)
    count = wrong.count()
    rows = list(wrong.order_by("expires_at").only("cache_key", "expires_at")[:OFFENDING_AT_MOST])
    names = {f"{entry.cache_key}: expires {entry.expires_at:%Y-%m-%d %H:%M} UTC": entry for entry in rows}
    return judged(
        count == 0,
        f"{count} entries",
        "0 entries",
        f"{count} entries are expired, not refreshed in time, or expire later than in 24 h"
        if count
        else "all entries are refreshed in time",
        remedy="see that workers of the queue slow run and warming is on; then: manage.py warm_caches",
        offending=list(names),
        count=count,
        links={name: reverse("admin:caching_cacheentry_change", args=[row.pk]) for name, row in names.items()},
    )
