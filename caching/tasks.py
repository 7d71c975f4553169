"""Celery tasks of the caching app."""

from celery import shared_task

from caching import operations
from caching.warming import requests
from core.access.actors import SYSTEM


@shared_task(name="caching.warm_due", ignore_result=True)
def warm_due() -> None:
    operations.warm_due(actor=SYSTEM)


@shared_task(name="caching.expire", ignore_result=True)
def expire() -> None:
    operations.expire(actor=SYSTEM)


@shared_task(name="caching.prune", ignore_result=True)
def prune() -> None:
    requests.prune()


@shared_task(name="caching.carry_out_warm_ups", ignore_result=True)
def carry_out_warm_ups() -> None:
    requests.carry_out_warm_ups()
