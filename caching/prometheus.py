"""The caches' figures for Prometheus, read from the tables."""

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from caching.choices import CacheType
from caching.freshness import CHEAP_TO_COUNT, CONDITIONS
from caching.models import CacheEntry, CacheTarget
from caching.tiers.hit_counter import lookups_by_kind
from core.db.estimates import COUNTED_AT_MOST, estimated_rows


class CacheCollector(Collector):
    """The collector of the caches' figures."""

    def collect(self) -> Iterator[Metric]:
        yield _lookups()
        entries = GaugeMetricFamily(
            "slipway_cache_entries", "Entries by state; fresh ones up to 100,000 rows.", labels=["type", "state"]
        )
        is_small = estimated_rows(CacheEntry) <= COUNTED_AT_MOST
        for state in CONDITIONS if is_small else CHEAP_TO_COUNT:  # one query each, which an index answers
            by_type = CacheEntry.objects.filter(CONDITIONS[state]).values_list("cache_type").annotate(Count("pk"))
            counts = dict(by_type)
            for cache_type in CacheType:
                entries.add_metric([cache_type.short, state.value], counts.get(cache_type, 0))
        yield entries
        enabled = CacheTarget.objects.filter(is_enabled=True)
        yield GaugeMetricFamily("slipway_cache_targets_enabled", "Targets that are kept warm.", value=enabled.count())
        failing = enabled.exclude(last_error="").count()
        yield GaugeMetricFamily(
            "slipway_cache_targets_failing", "Enabled targets whose last computation failed.", value=failing
        )


def _lookups() -> Metric:
    lookups = CounterMetricFamily(
        "slipway_cache_lookups", "Look-ups by the tier that answered.", labels=["type", "tier"]
    )
    for kind, by_tier in lookups_by_kind().items():
        for tier, count in by_tier.items():
            lookups.add_metric([kind, tier], count)
    return lookups
