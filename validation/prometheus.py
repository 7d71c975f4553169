"""Validation's figures for Prometheus: the newest result of each check."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.health_checks import Result, Suite
from validation.models import ValidationRun


class ValidationCollector(Collector):
    """The collector of the newest run of each suite. A skipped check has no figure."""

    def collect(self) -> Iterator[Metric]:
        passed = GaugeMetricFamily(
            "slipway_check_passed",
            "1 if the check passed or warned in the newest run, else 0.",
            labels=["suite", "category", "check"],
        )
        newest = GaugeMetricFamily(
            "slipway_validation_run_timestamp_seconds", "The start of the newest run, in Unix time.", labels=["suite"]
        )
        for suite in Suite:
            run = ValidationRun.objects.of_whole_suite(suite).first()
            if run is None:
                continue
            newest.add_metric([suite], run.started_at.timestamp())
            for result in run.results.exclude(result=Result.SKIP).order_by("pk"):
                is_good = result.result in (Result.PASS, Result.WARN)
                passed.add_metric([suite, result.category_name, result.check_id], 1.0 if is_good else 0.0)
        yield from (passed, newest)
