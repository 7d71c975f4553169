"""The Celery application: `celery --quiet -A config.celery worker` and `... beat`."""

import sys
import time
from typing import Any

import redis
import structlog
from celery import VERSION_BANNER, Celery, signals
from django.conf import settings
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu.exceptions import OperationalError

from config import logs
from config.environment.team_apps import faults_named
from config.startup import ending_on_faults, start, trace
from core import tasks
from core.process import exits

SEND_SECONDS = 1.0  # for each answer of the broker
SEND_OPTIONS = {"max_retries": 0, "socket_timeout": SEND_SECONDS, "socket_connect_timeout": SEND_SECONDS}
log = structlog.get_logger("slipway.celery")

# Other processes import this module, too: web processes and commands send tasks.
service = next((name for name in ("worker", "beat") if "celery" in sys.argv[0] and name in sys.argv), "")
start(is_service=bool(service))
if service:
    trace(service)
app = Celery("slipway")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
with ending_on_faults(is_service=bool(service)), faults_named(settings.TEAM_APPS):
    app.autodiscover_tasks(force=True)  # now, because an error of a later import would be a traceback


def send(name: str, args: tuple[object, ...], expires_seconds: float | None) -> bool:
    """Hand the task to the broker. Return whether the broker took it.

    The connection has no retries and a time-out: with Celery's own options a caller waits 6 s for a broker that is
    down, and without end for one that hangs.
    """
    try:
        with app.connection_for_write(transport_options=SEND_OPTIONS) as connection:
            app.send_task(name, args, connection=connection, retry=False, ignore_result=True, expires=expires_seconds)
    except (redis.RedisError, OperationalError):
        return False
    return True


tasks.send_with(send)


@signals.before_task_publish.connect
def stamp(headers: dict[str, Any], **kwargs: Any) -> None:
    """Note in the task when it was sent, so that /metrics can export since when the oldest one waits."""
    headers["published_at"] = time.time()


@signals.worker_process_shutdown.connect
def store_counts(**kwargs: Any) -> None:
    """Store what this child of a worker counted: the children of Celery's pool end without Python's own ways."""
    exits.run()


@signals.setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Keep the logging of the settings: if this signal has a receiver, Celery does not configure logging itself."""


def write_entry(message: str, stream: object = None) -> None:
    """Take the place of Celery's safe_say, which writes a line past the logging."""
    logs.write_now(message, "celery.apps.worker")


@signals.celeryd_init.connect
def write_entries_only(**kwargs: Any) -> None:
    """Turn the lines that a worker's signal handlers write into log entries, unless a person reads them."""
    if not logs.is_terminal():
        from celery.apps import worker

        worker.safe_say = write_entry  # type: ignore[attr-defined]  # celery-types does not list it


@signals.worker_ready.connect
def log_worker(sender: Any, **kwargs: Any) -> None:
    """Log what Celery's banner shows, which --quiet switches off."""
    log.info(
        "the worker is ready",
        node=sender.hostname,
        queues=sorted(app.amqp.queues.consume_from),
        concurrency=sender.controller.concurrency,
        broker=sender.connection.as_uri(),
        celery=VERSION_BANNER,
    )


@signals.beat_init.connect
def log_beat(sender: Any, **kwargs: Any) -> None:
    """Log what Celery's banner shows, which --quiet switches off."""
    log.info("beat is ready", broker=app.connection_for_write().as_uri(), celery=VERSION_BANNER)
