"""Warm-ups that operators ask for: carried out by a worker, with progress for whoever looks."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from caching import sql
from caching.choices import Outcome
from caching.models import CacheTarget, WarmUp
from caching.warming.leases import LEASE_SECONDS
from caching.warming.warm import require_warming, warm
from core.access.actors import Actor, Machine
from core.errors import Refused
from core.tasks import enqueue

AT_ONCE = 100  # targets that are looked up together


class Overtaken(Exception):
    """Another worker has it by now."""


def request(targets: Iterable[int], *, actor: Actor) -> int:
    """Have a worker compute these targets. Returns how many they are. Raises Refused while warming is switched off."""
    require_warming(actor)
    chosen = list(dict.fromkeys(targets))
    if chosen:
        WarmUp.objects.create(targets=chosen, total=len(chosen), requested_by=actor.get_username())
        transaction.on_commit(_wake)
    return len(chosen)


def _wake() -> None:
    """Without a broker the next tick finds it."""
    enqueue("caching.carry_out_warm_ups")


def carry_out() -> int:
    """Carry out what waits, or whose worker died. Returns how many warm-ups that were."""
    carried_out = 0
    while (found := _lease()) is not None:
        carried_out += 1
        with suppress(Overtaken):
            _carry_out_one(*found)
    return carried_out


def _carry_out_one(pk: int, fence: int, targets: list[int], done: int, requested_by: str) -> None:
    for start in range(done, len(targets), AT_ONCE):
        chunk = targets[start : start + AT_ONCE]
        present = CacheTarget.objects.filter(is_enabled=True).in_bulk(chunk)
        try:
            warm(
                [present[target] for target in chunk if target in present],
                actor=Machine(requested_by),
                force=True,
                progress=lambda warmed: _advance(pk, fence, 1, failed=warmed.outcome in (Outcome.FAILED, Outcome.OFF)),
            )
        except Refused:  # warming was switched off meanwhile
            _advance(pk, fence, len(present), failed=len(present))
        if gone := len(chunk) - len(present):  # last, so that a worker that comes after this one leaves none out
            _advance(pk, fence, gone)


def _lease() -> tuple[int, int, list[int], int, str] | None:
    with connection.cursor() as cursor:
        cursor.execute(sql.LEASE_WARM_UP, {"lease_seconds": LEASE_SECONDS})
        row: tuple[int, int, list[int], int, str] | None = cursor.fetchone()
    return row


def _advance(pk: int, fence: int, done: int, failed: int = 0) -> None:
    step = {"warm_up": pk, "fence": fence, "done": done, "failed": int(failed), "lease_seconds": LEASE_SECONDS}
    with connection.cursor() as cursor:
        cursor.execute(sql.ADVANCE_WARM_UP, step)
        if cursor.rowcount == 0:
            raise Overtaken


def prune() -> int:
    """Delete ended ones past their retention."""
    return WarmUp.objects.filter(ended_at__lt=Now() - timedelta(days=WarmUp.KEEP_DAYS)).delete()[0]
