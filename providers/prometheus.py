"""The fleet's figures for Prometheus, read from the tables."""

from collections.abc import Iterator

from django.db.models import Count, Q
from django.db.models.functions import Now
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from providers.models import PollSlot, ProviderState

COUNTERS = {
    "slipway_fetches": ("total_requests", "Upstream calls."),
    "slipway_fetches_good": ("successful_requests", "Upstream calls with a good answer."),
    "slipway_fetches_failed": ("failed_requests", "Upstream calls without a good answer."),
    "slipway_lines_fetched": ("total_props_fetched", "Lines in good answers."),
}


class ProviderCollector(Collector):
    """The collector of the provider states and the poll slots."""

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "slipway_provider_states", "Provider states.", labels=["provider", "sport", "status", "enabled"]
        )
        lines = GaugeMetricFamily("slipway_lines_offered", "Lines of the last good poll.", labels=["provider", "sport"])
        counters = {
            column: CounterMetricFamily(name, text, labels=["provider", "sport"])
            for name, (column, text) in COUNTERS.items()
        }
        for state in ProviderState.objects.all():
            labels = [state.provider_id, state.sport_id]
            states.add_metric([*labels, state.status, str(state.is_enabled).lower()], 1)
            lines.add_metric(labels, state.last_prop_count)
            for column, counter in counters.items():
                counter.add_metric(labels, getattr(state, column))
        yield from (states, lines, *counters.values(), count_overdue_slots())

    def describe(self) -> list[Metric]:
        return []  # so that registering the collector runs no query


def count_overdue_slots() -> Metric:
    late = PollSlot.objects.aggregate(late=Count("pk", filter=Q(next_poll_at__lt=Now())))["late"]
    return GaugeMetricFamily("slipway_slots_overdue", "Poll slots past their deadline.", value=late)
