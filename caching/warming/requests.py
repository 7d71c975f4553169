"""Warm-ups that operators request. A worker carries them out, and the admin shows their progress."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from caching import sql
from caching.choices import WarmOutcome
from caching.models import CacheTarget, WarmUp
from caching.warming.leases import LEASE_SECONDS
from caching.warming.warm import require_warming, warm_each
from core.access.actors import Actor, Machine
from core.chunks import chunks
from core.errors import Refused
from core.tasks import enqueue

CHUNK_TARGETS = 100  # read from the database together
FAILURES = (WarmOutcome.FAILED, WarmOutcome.OFF)


class LeaseLost(Exception):
    """The lease of the warm-up expired, and another worker holds it by now."""


@dataclass(frozen=True, slots=True)
class LeasedWarmUp:
    """A warm-up that this worker carries out, as it was when the lease was claimed."""

    id: int
    fence: int
    targets: list[int]
    done: int
    requested_by: str

    def advance(self, done: int, failed: int) -> None:
        """Count targets as done, and failed ones among them, and extend the lease. Raise LeaseLost."""
        params = {
            "warm_up": self.id,
            "fence": self.fence,
            "done": done,
            "failed": failed,
            "lease_seconds": LEASE_SECONDS,
        }
        with connection.cursor() as cursor:
            cursor.execute(sql.ADVANCE_WARM_UP, params)
            if cursor.rowcount == 0:
                raise LeaseLost


def request_warm_up(targets: Iterable[int], *, actor: Actor) -> int:
    """Ask a worker to compute these targets, given by id. Return their number.

    Raise Refused if the actor may not warm, or if warming is switched off.
    """
    require_warming(actor)
    chosen = list(dict.fromkeys(targets))
    if chosen:
        WarmUp.objects.create(targets=chosen, total=len(chosen), requested_by=actor.get_username())
        transaction.on_commit(_wake_worker)
    return len(chosen)


def _wake_worker() -> None:
    """Send the task. If the broker is down, the schedule finds the warm-up later."""
    enqueue("caching.carry_out_warm_ups")


def carry_out_warm_ups() -> int:
    """Carry out the warm-ups that no worker holds, or whose worker died. Return their number."""
    carried_out = 0
    warm_up = _lease_next()
    while warm_up is not None:
        carried_out += 1
        with suppress(LeaseLost):
            _carry_out(warm_up)
        warm_up = _lease_next()
    return carried_out


def _carry_out(warm_up: LeasedWarmUp) -> None:
    for chunk in chunks(warm_up.targets[warm_up.done :], CHUNK_TARGETS):
        enabled = CacheTarget.objects.filter(is_enabled=True).in_bulk(chunk)
        targets = [enabled[pk] for pk in chunk if pk in enabled]
        try:
            for result in warm_each(targets, actor=Machine(warm_up.requested_by), force=True):
                warm_up.advance(1, failed=1 if result.outcome in FAILURES else 0)
        except Refused:  # warming was switched off since
            warm_up.advance(len(targets), failed=len(targets))
        missing = len(chunk) - len(targets)
        if missing:  # counted last, so that a worker that takes over leaves no target out
            warm_up.advance(missing, failed=0)


def _lease_next() -> LeasedWarmUp | None:
    with connection.cursor() as cursor:
        cursor.execute(sql.LEASE_WARM_UP, {"lease_seconds": LEASE_SECONDS})
        row = cursor.fetchone()
    return LeasedWarmUp(*row) if row else None


def prune() -> int:
    """Delete the warm-ups that ended longer ago than their retention. Return how many rows were deleted."""
    return WarmUp.objects.filter(ended_at__lt=Now() - timedelta(days=WarmUp.KEEP_DAYS)).delete()[0]
