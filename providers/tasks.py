"""The Celery tasks of the providers app."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutdown

from providers import operations
from providers.gamelogs import uploads
from providers.polling.poller import stop_poller


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
def release_claims(**kwargs: Any) -> None:
    """Stop the poller, which releases the claims of the polls that have not ended."""
    stop_poller()
