"""Celery tasks of the validation app."""

from celery import shared_task

from core.access.actors import SYSTEM
from core.health_checks import Suite
from validation import operations


@shared_task(name="validation.validate", ignore_result=True)
def validate(suite: str = Suite.EXIT.value, is_full: bool = False) -> None:
    operations.validate(Suite(suite), is_full=is_full, actor=SYSTEM)


@shared_task(name="validation.watch", ignore_result=True)
def watch() -> None:
    operations.notify_if_overdue()


@shared_task(name="validation.prune", ignore_result=True)
def prune() -> None:
    operations.prune()
