"""The Celery application: `celery -A config.celery worker` and `... beat`."""

from typing import Any

import redis
from celery import Celery
from celery.signals import setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu.exceptions import OperationalError

from config.startup import faults_named, start
from core import tasks

SEND_SECONDS = 1.0  # for each answer of the broker
SEND_OPTIONS = {"max_retries": 0, "socket_timeout": SEND_SECONDS, "socket_connect_timeout": SEND_SECONDS}

start()
app = Celery("slipway")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
with faults_named():
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


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Keep the logging of the settings: if this signal has a receiver, Celery does not configure logging itself."""
