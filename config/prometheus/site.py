"""The figures of the installation as a whole: its version, and the clients of its servers."""

import platform
from collections.abc import Iterator

import django
from django.db import connection
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config import VERSION
from config.prometheus import sql
from core.redis import client, key

CHANNELS = ("rollouts", "derived")  # a gate listens to the first one, a cache to the second one


class BuildCollector(Collector):
    """The collector of the versions that run."""

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "slipway_build_info", "1; the labels are the versions.", labels=["version", "python", "django"]
        )
        build.add_metric([VERSION, platform.python_version(), django.get_version()], 1)
        yield build


class DatabaseCollector(Collector):
    """The collector of PostgreSQL's connections."""

    def collect(self) -> Iterator[Metric]:
        with connection.cursor() as cursor:
            cursor.execute(sql.CONNECTIONS)
            own, others, limit = cursor.fetchone()
        open_now = GaugeMetricFamily(
            "slipway_database_connections", "Open connections, of Slipway's role and of all others.", labels=["role"]
        )
        open_now.add_metric(["slipway"], own)
        open_now.add_metric(["other"], others)
        yield open_now
        yield GaugeMetricFamily(
            "slipway_database_connections_limit", "Connections that Slipway's role can have open.", value=limit
        )


class RedisCollector(Collector):
    """The collector of Redis's clients, and of the processes among them that listen for changes."""

    def collect(self) -> Iterator[Metric]:
        with client().pipeline(transaction=False) as pipeline:
            pipeline.info("clients")
            pipeline.pubsub_numsub(*map(key, CHANNELS))
            clients, subscribers = pipeline.execute()
        yield GaugeMetricFamily("slipway_redis_clients", "Open connections.", value=clients["connected_clients"])
        if "maxclients" in clients:  # a managed Redis may leave it out
            yield GaugeMetricFamily("slipway_redis_clients_limit", "Connections at most.", value=clients["maxclients"])
        listening = GaugeMetricFamily(
            "slipway_listening_processes", "Processes that listen for changes, by channel.", labels=["channel"]
        )
        for channel, (_, processes) in zip(CHANNELS, subscribers, strict=True):
            listening.add_metric([channel], processes)
        yield listening
