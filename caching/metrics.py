"""The caches' figures for Prometheus, read from the tables."""

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from caching.choices import CacheType
from caching.models import CacheEntry, CacheLookup, CacheTarget
from caching.states import STATES


class CacheCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        lookups = CounterMetricFamily(
            "slipway_cache_lookups", "Look-ups by the tier that answered.", labels=["type", "tier"]
        )
        for lookup in CacheLookup.objects.all():
            lookups.add_metric([lookup.kind, lookup.tier], lookup.lookups)
        entries = GaugeMetricFamily("slipway_cache_entries", "Entries by state.", labels=["type", "state"])
        counts = {name: Count("pk", filter=state) for name, state in STATES.items()}
        for row in CacheEntry.objects.values("cache_type").annotate(**counts):
            for name in STATES:
                entries.add_metric([CacheType(row["cache_type"]).short, name], row[name])
        failing = CacheTarget.objects.filter(is_enabled=True).exclude(last_error="").count()
        yield from (lookups, entries, GaugeMetricFamily("slipway_cache_targets_failing", "Targets.", value=failing))

    def describe(self) -> list[Metric]:
        return []  # registering asks the database nothing
