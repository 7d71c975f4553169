"""The fleet's figures for Prometheus, read from the tables.

PostgreSQL writes the lines of the provider states itself: at 5,000 states they are 60,000 lines, which take ten times
as long in Python.
"""

from collections.abc import Iterator
from typing import NamedTuple

from django.db import connection
from django.db.models import Count, Q
from django.db.models.functions import Now
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from providers import sql
from providers.choices import Status
from providers.models import PollSlot


class Family(NamedTuple):
    """The type and the description of a family of series, as Prometheus' text format declares them."""

    type: str
    help: str


STATE_FAMILIES = {  # by the names that sql.STATE_FIGURES gives
    "slipway_provider_state": Family("gauge", "1 for the status of the provider state, 0 for each other status."),
    "slipway_provider_enabled": Family("gauge", "1 if an operator wants the provider state polled, else 0."),
    "slipway_provider_last_success_timestamp_seconds": Family(
        "gauge", "The last good fetch of an enabled provider state, in Unix time; absent before the first one."
    ),
    "slipway_provider_poll_interval_seconds": Family(
        "gauge", "The present interval between two polls of an enabled provider state."
    ),
    "slipway_lines_offered": Family("gauge", "Lines of the last good poll."),
    "slipway_lines_fetched_total": Family("counter", "Lines in good answers."),
    "slipway_fetches_total": Family("counter", "Upstream calls."),
    "slipway_fetches_good_total": Family("counter", "Upstream calls with a good answer."),
    "slipway_fetches_failed_total": Family("counter", "Upstream calls without a good answer."),
}


def render_states() -> bytes:
    """Return the families of the provider states in Prometheus' text format."""
    with connection.cursor() as cursor:
        cursor.execute(sql.STATE_FIGURES, {"statuses": Status.values})
        lines_by_family: dict[str, str] = dict(cursor.fetchall())
    return "".join(
        f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n{lines_by_family[name]}\n"
        for name, family in STATE_FAMILIES.items()
        if name in lines_by_family
    ).encode()


class SlotCollector(Collector):
    """The collector of the poll slots."""

    def collect(self) -> Iterator[Metric]:
        late = PollSlot.objects.aggregate(late=Count("pk", filter=Q(next_poll_at__lt=Now())))["late"]
        yield GaugeMetricFamily("slipway_slots_overdue", "Poll slots past their deadline.", value=late)
