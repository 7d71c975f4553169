"""What the admin's pages show beside the rows."""

from typing import Any

import orjson
from django.conf import settings
from django.utils.safestring import SafeString

from caching.admin.pictures import picture
from caching.choices import HITS, CacheType
from caching.freshness import freshness
from caching.models import CacheEntry, CacheTarget
from caching.tiers.hit_counter import answered, lookups_by_kind


def shown_entry(entry: CacheEntry) -> dict[str, Any]:
    about = {"cache_type": entry.cache_type, "sport": entry.sport, "subject": entry.subject}
    target = CacheTarget.objects.filter(**about).first()
    path = CacheType(entry.cache_type).about(entry.sport, entry.subject).replace(":", "/")
    return {
        "told": entry.narrative or "Nothing was said about it.",
        "state": freshness(entry.soft_expires_at, entry.expires_at),
        "points": entry.key_points,
        "problem": target.last_error if target else "",
        "picture": _picture(entry),
        "address": f"{settings.SITE_URL}/api/v1/derived/{path}",
    }


def _picture(entry: CacheEntry) -> SafeString | str:
    try:
        return picture(CacheType(entry.cache_type), orjson.loads(entry.data_json))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "It cannot be drawn: its payload is not what its type has."


def hit_rates() -> dict[str, Any]:
    """Per type, since they are counted: look-ups, hits among them, and the share of each tier."""
    rows = []
    for kind, by_tier in lookups_by_kind().items():
        lookups = answered(by_tier)
        if not lookups:
            continue
        hits = [by_tier.get(tier, 0) for tier in HITS]
        shares = [f"{hit / lookups:.1%}" for hit in hits]
        rows.append({"kind": kind, "lookups": f"{lookups:,}", "rate": f"{sum(hits) / lookups:.1%}", "shares": shares})
    return {"hit_rates": rows, "tiers": [f"{tier.name} {tier.label}" for tier in HITS]}
