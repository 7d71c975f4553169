"""The caches' figures for Prometheus, read from the tables."""

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from caching.choices import HITS, CacheType
from caching.freshness import STATES
from caching.models import CacheEntry, CacheTarget
from caching.tiers.hit_counter import answered, lookups_by_kind
from core.db.estimates import COUNTED_AT_MOST, estimated_rows


class CacheCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from _lookups()
        entries = GaugeMetricFamily(
            "slipway_cache_entries", "Entries by state; fresh ones up to 100,000 rows.", labels=["type", "state"]
        )
        counted = STATES if estimated_rows(CacheEntry) <= COUNTED_AT_MOST else {k: STATES[k] for k in ("due", "stale")}
        for state, condition in counted.items():  # each by its index: what is due is few
            found = dict(CacheEntry.objects.filter(condition).values_list("cache_type").annotate(Count("pk")))
            for cache_type in CacheType:
                entries.add_metric([cache_type.short, state], found.get(cache_type, 0))
        failing = CacheTarget.objects.filter(is_enabled=True).exclude(last_error="").count()
        yield from (entries, GaugeMetricFamily("slipway_cache_targets_failing", "Targets.", value=failing))

    def describe(self) -> list[Metric]:
        return []  # registering asks the database nothing


def _lookups() -> Iterator[Metric]:
    lookups = CounterMetricFamily(
        "slipway_cache_lookups", "Look-ups by the tier that answered.", labels=["type", "tier"]
    )
    ratios = GaugeMetricFamily(
        "slipway_cache_hit_ratio", "Share of all look-ups that the tier answered.", labels=["type", "tier"]
    )
    for kind, by_tier in lookups_by_kind().items():
        total = answered(by_tier)
        for tier, count in by_tier.items():
            lookups.add_metric([kind, tier], count)
        for tier in HITS if total else ():
            ratios.add_metric([kind, tier.value], by_tier.get(tier, 0) / total)
    yield from (lookups, ratios)
