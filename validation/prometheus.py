"""What /metrics tells of validation: the newest result of each check."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.health_checks import Result, Suite
from validation.models import ValidationRun


class ValidationCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        passed = GaugeMetricFamily(
            "slipway_check_passed", "1 where the newest look passed, else 0.", labels=["suite", "category", "check"]
        )
        last = GaugeMetricFamily("slipway_validation_run_timestamp_seconds", "When it was run.", labels=["suite"])
        for suite in Suite:
            run = ValidationRun.objects.whole(suite).first()
            if run is None:
                continue
            last.add_metric([suite], run.started_at.timestamp())
            for found in run.results.exclude(result=Result.SKIP).order_by("pk"):
                is_good = found.result in (Result.PASS, Result.WARN)
                passed.add_metric([suite, found.category_name, found.check_id], float(is_good))
        yield from (passed, last)

    def describe(self) -> list[Metric]:
        return []  # registering asks the database nothing
