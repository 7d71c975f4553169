"""What can be done to the fleet: one callable per verb, for admin, commands and tasks alike."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Count, Model, ProtectedError
from django.db.models.functions import Now

from core.access.actors import Actor, require
from core.access.audit import acting
from core.db import batches
from core.errors import Refused
from core.switches import Part
from providers import sql
from providers.choices import Status
from providers.fleet.backfill import Scope, sync_slots
from providers.fleet.fleet_alert import watch_fleet
from providers.fleet.status_changes import change_status
from providers.gamelogs import uploads
from providers.models import (
    CONFIGURATION,
    FetchAttempt,
    PriceMove,
    PropLine,
    Provider,
    ProviderState,
    StatusChange,
)
from providers.polling import poller
from rollout.control.feeds import Feeds
from rollout.models import Activation

KEPT: list[tuple[type[Model], str, int]] = [
    (FetchAttempt, "started_at", FetchAttempt.KEEP_DAYS),
    (StatusChange, "changed_at", StatusChange.KEEP_DAYS),
    (PriceMove, "moved_at", PriceMove.KEEP_DAYS),
]


@contextmanager
def _verb(verb: str, permission: str, actor: Actor) -> Iterator[None]:
    require(actor, f"providers.{permission}")
    with transaction.atomic(), acting(actor, verb):
        with connection.cursor() as cursor:
            cursor.execute(sql.ONE_CHANGE_AT_A_TIME)
        yield
        sync_slots()


def enable(states: Sequence[int], *, actor: Actor) -> int:
    """Have the states polled, at once for the first time. Returns how many were not enabled before."""
    with _verb("enable", "enable_providerstate", actor):
        changed = ProviderState.objects.filter(pk__in=states, is_enabled=False).update(
            is_enabled=True,
            consecutive_errors=0,  # failures from before say nothing about now
            updated_at=Now(),
        )
    _make_due(states)
    return changed


def disable(states: Sequence[int], *, actor: Actor) -> int:
    with _verb("disable", "disable_providerstate", actor):
        return ProviderState.objects.filter(pk__in=states, is_enabled=True).update(is_enabled=False, updated_at=Now())


def poll_now(states: Sequence[int], *, actor: Actor) -> int:
    """Make the enabled ones due; the next tick takes them. Returns how many slots that are."""
    require(actor, "providers.poll_providerstate")
    return _make_due(list(ProviderState.objects.pollable().filter(pk__in=states).values_list("pk", flat=True)))


def set_maintenance(states: Sequence[int], *, actor: Actor) -> int:
    """Stop polling them until they return to service."""
    with _verb("maintain", "maintain_providerstate", actor):
        return len(change_status(states, Status.MAINTENANCE, cause="set to maintenance", actor=actor))


def return_to_service(states: Sequence[int], *, actor: Actor) -> int:
    """End their maintenance; the first good fetch makes them active."""
    with _verb("return", "return_providerstate", actor):
        resting = ProviderState.objects.filter(pk__in=states, status=Status.MAINTENANCE)
        ended = list(resting.values_list("pk", flat=True))
        changed = change_status(
            states, Status.INACTIVE, only_from=Status.MAINTENANCE, cause="returned to service", actor=actor
        )
        # Failures from before say nothing about now.
        ProviderState.objects.filter(pk__in=ended).update(consecutive_errors=0)
    _make_due(states)
    return len(changed)


def _make_due(states: Sequence[int]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql.MAKE_DUE, {"states": list(states)})
        return int(cursor.rowcount)


def save(row: Provider | ProviderState, *, actor: Actor) -> None:
    """Create a row, or store its configuration; never its counters, which polling has moved on meanwhile."""
    is_new = row._state.adding
    was_enabled = isinstance(row, ProviderState) and ProviderState.objects.filter(pk=row.pk, is_enabled=True).exists()
    with _verb("add" if is_new else "change", f"{'add' if is_new else 'change'}_{row._meta.model_name}", actor):
        if is_new or isinstance(row, Provider):
            row.save()
        else:
            row.save(update_fields=[*CONFIGURATION, "updated_at"])
    if isinstance(row, ProviderState) and not was_enabled:
        _make_due([row.pk])


def delete(row: Provider | ProviderState, *, actor: Actor) -> None:
    with _verb("delete", f"delete_{row._meta.model_name}", actor):
        try:
            row.delete()
        except ProtectedError as error:
            raise Refused(f"{row} is still in use", "disable it instead") from error


def goes_along(rows: Sequence[Provider] | Sequence[ProviderState]) -> dict[str, int]:
    """What is deleted with these rows of one table: how many of what."""
    pks = [row.pk for row in rows]
    if all(isinstance(row, ProviderState) for row in rows):
        return {"lines": PropLine.objects.filter(state__in=pks).count()}
    states = ProviderState.objects.filter(provider__in=pks).count()
    return {"provider states": states, "lines": PropLine.objects.filter(state__provider__in=pks).count()}


def poll_due() -> int:
    """One tick: claim what is due and hand it to this process's poller. Never waits for a fetch."""
    claims = poller.claim_due()
    if claims:
        poller.poller().dispatch(claims)
    watch_fleet()
    return len(claims)


def poll_round(scope: Scope, *, actor: Actor) -> list["Future[poller.Polled]"]:
    """Start a poll of each enabled slot in scope, due or not. Raises Refused while polling is switched off."""
    require(actor, "providers.poll_providerstate")
    if not Activation.objects.allows(Part.POLLING):
        raise Refused("polling is switched off", "switch it on again: manage.py reactivate polling")
    return poller.poller().dispatch(poller.claim_due(horizon=timedelta(0), scope=scope, everything=True))


def prune() -> int:
    """Delete log rows past their retention, and retire lines of games long begun, a batch at a time. Returns how many
    were deleted.
    """
    batches.in_batches(sql.RETIRE_LINES, batches.PRUNE_BATCH)
    return batches.prune(KEPT) + uploads.prune()


def watched_feeds() -> Feeds:
    """Those that are wanted, by how they are."""
    enabled = ProviderState.objects.filter(is_enabled=True).order_by()
    by_status = dict(enabled.values_list("status").annotate(states=Count("*")))
    failing, healthy = by_status.pop(Status.ERROR, 0), by_status.pop(Status.ACTIVE, 0)
    return Feeds(healthy, failing, inactive=sum(by_status.values()))
