"""The text of /metrics: one block per part, so that a part that cannot be measured does not hide the others."""

from collections.abc import Callable, Container
from functools import partial

import redis
import structlog
from django.db import Error, OperationalError
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from caching.prometheus import CacheCollector
from config.prometheus.queues import QueueCollector
from config.prometheus.requests import RequestCollector
from config.prometheus.site import BuildCollector, DatabaseCollector, RedisCollector
from providers.prometheus import SlotCollector, render_states
from rollout.prometheus import LoopCollector, ObservationCollector, RecoveryCollector, RolloutCollector
from validation.prometheus import ValidationCollector

PARTS: dict[str, Callable[[], bytes]] = {
    "build": partial(generate_latest, BuildCollector()),
    "provider_states": render_states,
    "poll_slots": partial(generate_latest, SlotCollector()),
    "caches": partial(generate_latest, CacheCollector()),
    "validation": partial(generate_latest, ValidationCollector()),
    "rollouts": partial(generate_latest, RolloutCollector()),
    "observations": partial(generate_latest, ObservationCollector()),
    "control_loop": partial(generate_latest, LoopCollector()),
    "recovery": partial(generate_latest, RecoveryCollector()),
    "requests": partial(generate_latest, RequestCollector()),
    "queues": partial(generate_latest, QueueCollector()),
    "database": partial(generate_latest, DatabaseCollector()),
    "redis": partial(generate_latest, RedisCollector()),
}
WITHOUT_DATABASE = {"build", "control_loop", "requests", "queues", "redis"}
log = structlog.get_logger("slipway.prometheus")


def render() -> bytes:
    """Return the figures of all parts. A part whose server does not answer is left out, because it was not measured.

    Once PostgreSQL cannot be reached, the other parts that need it are not tried: each would wait for its time-out.
    """
    blocks: dict[str, bytes] = {}
    is_database_lost = False
    for part, render_part in PARTS.items():
        if is_database_lost and part not in WITHOUT_DATABASE:
            continue
        try:
            blocks[part] = render_part()
        except (Error, redis.RedisError) as error:
            is_database_lost |= isinstance(error, OperationalError)
            log.warning("cannot measure a part of /metrics; it is left out", part=part, error=str(error))
    return b"".join([*blocks.values(), generate_latest(SuccessCollector(blocks))])


class SuccessCollector(Collector):
    """The collector of which parts were measured in one scrape."""

    def __init__(self, measured: Container[str]) -> None:
        self._measured = measured

    def collect(self) -> list[Metric]:
        success = GaugeMetricFamily(
            "slipway_collector_success", "1 if this part was measured in this scrape, else 0.", labels=["collector"]
        )
        for part in PARTS:
            success.add_metric([part], part in self._measured)
        return [success]
