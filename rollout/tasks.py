"""Celery tasks of the rollout app."""

from celery import shared_task

from core.access.actors import SYSTEM, Machine
from rollout.control import loop
from rollout.operations import lifecycle
from rollout.recovery import operations as recovery
from rollout.recovery.snapshots import operations as snapshots


@shared_task(name="rollout.tick", ignore_result=True)
def tick() -> None:
    loop.tick()


@shared_task(name="rollout.snapshot", ignore_result=True)
def snapshot() -> None:
    snapshots.run_nightly(actor=SYSTEM)


@shared_task(name="rollout.make_snapshot", ignore_result=True)
def make_snapshot(actor: str, reason: str) -> None:
    snapshots.create_and_verify(actor=Machine(actor), reason=reason)


@shared_task(name="rollout.recover", ignore_result=True)
def recover() -> None:
    recovery.recover()


@shared_task(name="rollout.prune", ignore_result=True)
def prune() -> None:
    lifecycle.prune()
