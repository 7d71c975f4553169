"""The Celery application: `celery -A config.celery worker` and `... beat`."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep

from config.startup import start

start()
app = Celery("slipway")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """With a receiver Celery leaves logging as the settings made it."""
