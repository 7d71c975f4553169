"""Celery tasks of the validation app."""

from celery import shared_task

from rollout.actors import SYSTEM
from validation import operations


@shared_task(name="validation.validate", ignore_result=True)
def validate(is_full: bool = False) -> None:
    operations.validate(is_full=is_full, actor=SYSTEM)


@shared_task(name="validation.prune", ignore_result=True)
def prune() -> None:
    operations.prune()
