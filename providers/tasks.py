"""Celery tasks of the providers app."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutdown

from providers import operations
from providers.gamelogs import uploads
from providers.polling import poller


@shared_task(name="providers.poll_due", ignore_result=True)
def poll_due() -> None:
    operations.poll_due()


@shared_task(name="providers.prune", ignore_result=True)
def prune() -> None:
    operations.prune()


@shared_task(name="providers.import_uploads", ignore_result=True)
def import_uploads() -> None:
    uploads.import_waiting()


@worker_shutdown.connect
def give_claims_back(**kwargs: Any) -> None:
    poller.stop_poller()
