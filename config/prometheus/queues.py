"""The queues of Celery in Redis, for Prometheus: how many tasks wait, and since when the oldest one does."""

from collections.abc import Iterator

import msgspec
from django.conf import settings
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.redis import client, key


class Headers(msgspec.Struct):
    """The header that config.celery adds to a task: Unix time by the sender's clock; None if the sender was older."""

    published_at: float | None = None


class Message(msgspec.Struct):
    """The part of a message in a queue that is read here."""

    headers: Headers


class QueueCollector(Collector):
    """The collector of the queues. A worker that is busy holds up to four tasks per thread that wait in no queue."""

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("slipway_queue_tasks", "Tasks that no worker has taken yet.", labels=["queue"])
        oldest = GaugeMetricFamily(
            "slipway_queue_oldest_task_timestamp_seconds",
            "When the oldest waiting task was sent, in Unix time; absent if none waits.",
            labels=["queue"],
        )
        queues = queue_names()
        with client().pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.llen(key(queue))
                pipeline.lindex(key(queue), -1)  # tasks are pushed at the head and taken from the tail
            answers = pipeline.execute()
        for queue, tasks, message in zip(queues, answers[::2], answers[1::2], strict=True):
            waiting.add_metric([queue], tasks)
            sent_at = read_sent_at(message)
            if sent_at is not None:
                oldest.add_metric([queue], sent_at)
        yield from (waiting, oldest)


def queue_names() -> list[str]:
    """Return the queues that the schedule names, in alphabetical order."""
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    return sorted({settings.CELERY_TASK_DEFAULT_QUEUE} | routed)


def read_sent_at(message: bytes | None) -> float | None:
    """Return when this message was sent, None if there is none or it does not contain that."""
    if message is None:
        return None
    try:
        return msgspec.json.decode(message, type=Message).headers.published_at
    except msgspec.DecodeError:
        return None
