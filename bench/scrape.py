"""Measure one scrape of /metrics with 5,028 provider states: processor time of the web process, duration, memory.

make bench, or .venv/bin/python bench/scrape.py
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bench._ground import database, fleet, season

STATES, ROUTES, ROUNDS = 5_000, 100, 15
LIVELY = """
UPDATE provider_states SET status = 'active', total_requests = 100000 + id, successful_requests = 90000 + id,
       failed_requests = 10000, last_prop_count = 700, total_props_fetched = 70000000 + id,
       last_successful_fetch = now() - interval '20 s'"""


class InPython(Collector):
    """The same series of the provider states, made by the ORM and prometheus_client."""

    def collect(self) -> Iterator[Metric]:
        from providers.choices import Status
        from providers.models import ProviderState

        names = ["provider", "sport"]
        status = GaugeMetricFamily("slipway_provider_state", "Status.", labels=[*names, "status"])
        gauges = {
            "is_enabled": GaugeMetricFamily("slipway_provider_enabled", "Enabled.", labels=names),
            "last_prop_count": GaugeMetricFamily("slipway_lines_offered", "Lines.", labels=names),
            "poll_interval_seconds": GaugeMetricFamily("slipway_provider_poll_interval_seconds", "s.", labels=names),
        }
        counters = {
            "total_requests": CounterMetricFamily("slipway_fetches", "Calls.", labels=names),
            "successful_requests": CounterMetricFamily("slipway_fetches_good", "Good calls.", labels=names),
            "failed_requests": CounterMetricFamily("slipway_fetches_failed", "Failed calls.", labels=names),
            "total_props_fetched": CounterMetricFamily("slipway_lines_fetched", "Lines.", labels=names),
        }
        fetched = GaugeMetricFamily("slipway_provider_last_success_timestamp_seconds", "Time.", labels=names)
        for state in ProviderState.objects.all():
            values = [state.provider_id, state.sport_id]
            for each in Status:
                status.add_metric([*values, each], each == state.status)
            for column, family in (gauges | counters).items():
                family.add_metric(values, getattr(state, column))
            if state.last_successful_fetch:
                fetched.add_metric(values, state.last_successful_fetch.timestamp())
        yield from (status, *gauges.values(), *counters.values(), fetched)


def fill() -> None:
    """Make 5,028 states with counts, a rollout with observations and readings, and requests to 100 routes."""
    from django.db import connection

    from config.middleware.request_counter import CountedRequest, RequestCounter
    from core.access.actors import SYSTEM
    from providers.fleet.backfill import backfill
    from rollout.control import loop
    from rollout.decisions.stages import Arm
    from rollout.gate.counters import Counters
    from rollout.gate.counting.observation import Observation, StageVisit
    from rollout.models import Rollout

    season()
    backfill(fleet(STATES // 4), actor=SYSTEM)
    with connection.cursor() as cursor:
        cursor.execute(LIVELY)
        cursor.execute("VACUUM ANALYZE")
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100, epoch=1, stage_epoch=1)
    observations, requests = Counters(lambda name: None), RequestCounter()
    for number in range(5_000):
        for arm in Arm:
            observations.observe(Observation("derived-data", StageVisit("visit"), arm, number / 10, is_hit=True))
        requests.count(CountedRequest("GET", f"/route/{number % ROUTES}", 200, number / 1000))
    assert observations.flush()
    assert requests.flush()
    loop.tick()


def measure(what: str, scrape: Callable[[], bytes]) -> float:
    """Print the medians of the rounds. Return the processor time in ms."""
    scrape()
    cpu_ms, took_ms = [], []
    for _ in range(ROUNDS):
        cpu, start = time.process_time(), time.perf_counter()
        text = scrape()
        cpu_ms.append((time.process_time() - cpu) * 1000)
        took_ms.append((time.perf_counter() - start) * 1000)
    figures = (
        f"{statistics.median(cpu_ms):.0f} ms of CPU (at most {max(cpu_ms):.0f}), {statistics.median(took_ms):.0f} ms"
    )
    print(f"{what}: {figures}, {len(text) / 1e6:.2f} MB")
    return statistics.median(cpu_ms)


def main() -> None:
    with database():
        import logging

        from django.conf import settings
        from django.test import Client

        logging.disable(logging.CRITICAL)
        settings.ALLOWED_HOSTS = ["testserver"]
        fill()
        client = Client()

        def scrape(**headers: str) -> bytes:
            answer = client.get("/metrics", headers=headers)
            assert answer.status_code == 200
            return answer.content

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        series = scrape().count(b"\nslipway_")
        measure(f"one scrape of {series:,} series", scrape)
        shipped = measure("the same, compressed", lambda: scrape(**{"Accept-Encoding": "gzip"}))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"peak memory of the process: {after / 1024:.0f} MiB, {(after - before) / 1024:.0f} MiB more than before")
        peer = measure(
            "the provider states alone, by the ORM and prometheus_client", lambda: generate_latest(InPython())
        )
        print(f"that is {peer / shipped:.1f} x the whole compressed scrape")


if __name__ == "__main__":
    main()
