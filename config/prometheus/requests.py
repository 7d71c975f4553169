"""The HTTP requests of all web processes, for Prometheus."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from config.middleware.request_counter import BOUNDS, RouteLatency, read_totals


class RequestCollector(Collector):
    """The collector of the requests that all processes have sent to Redis."""

    def collect(self) -> Iterator[Metric]:
        totals = read_totals()
        counts = CounterMetricFamily(
            "slipway_http_requests",
            "Requests by method, template of the route, and class of the status.",
            labels=["method", "route", "status"],
        )
        for names, count in totals.counts.items():
            counts.add_metric(names, count)
        durations = HistogramMetricFamily(
            "slipway_http_request_duration_seconds",
            "Time from a request to its answer; for a stream to its beginning.",
            labels=["route"],
        )
        for route, latency in totals.latencies.items():
            durations.add_metric([route], _cumulated(latency), latency.seconds)
        yield from (counts, durations)


def _cumulated(latency: RouteLatency) -> list[tuple[str, float]]:
    """Return the buckets of a histogram: each bound in seconds, and how many requests took at most that long."""
    bounds = [*map(str, BOUNDS), "+Inf"]
    counts = accumulate(latency.counts[number] for number in range(len(bounds)))
    return [(bound, float(count)) for bound, count in zip(bounds, counts, strict=True)]
