"""The context of the admin's pages about caches."""

from typing import Any

import msgspec
from django.conf import settings
from django.utils.safestring import SafeString

from caching.admin.pictures import picture
from caching.choices import HITS, CacheType
from caching.derivations.payloads import DECODERS
from caching.freshness import freshness_badge
from caching.models import CacheEntry, CacheTarget
from caching.tiers.hit_counter import count_lookups, lookups_by_kind


def entry_context(entry: CacheEntry) -> dict[str, Any]:
    """Return what the page of one entry shows above its fields."""
    target = CacheTarget.objects.filter(cache_type=entry.cache_type, sport=entry.sport, subject=entry.subject).first()
    path = CacheType(entry.cache_type).about(entry.sport, entry.subject).replace(":", "/")
    return {
        "narrative": entry.narrative or "This entry has no description.",
        "state": freshness_badge(entry.soft_expires_at, entry.expires_at),
        "points": entry.key_points,
        "problem": target.last_error if target else "",
        "picture": _picture(entry),
        "address": f"{settings.SITE_URL}/api/v1/derived/{path}",
    }


def _picture(entry: CacheEntry) -> SafeString | str:
    try:
        return picture(DECODERS[entry.cache_type].decode(entry.data_json))
    except (msgspec.MsgspecError, KeyError, IndexError):
        return "It cannot be drawn: its payload does not have the form of its type."


def hit_rates_context() -> dict[str, Any]:
    """Return the look-ups of each type since counting began, the share of hits, and the share of each tier."""
    rows = []
    for kind, by_tier in lookups_by_kind().items():
        lookups = count_lookups(by_tier)
        if not lookups:
            continue
        hits = [by_tier.get(tier, 0) for tier in HITS]
        shares = [f"{hit / lookups:.1%}" for hit in hits]
        rows.append({"kind": kind, "lookups": f"{lookups:,}", "rate": f"{sum(hits) / lookups:.1%}", "shares": shares})
    return {"hit_rates": rows, "tiers": [f"{tier.name} {tier.label}" for tier in HITS]}
