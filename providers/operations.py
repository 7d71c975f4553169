"""The operations on the fleet, one function per verb. The admin, the commands and the tasks call these."""

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
from providers.fleet import sql as fleet_sql
from providers.fleet.backfill import Scope, lock_configuration, sync_slots
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
from providers.polling.claims import claim_due
from providers.polling.poller import Polled, poller_of_this_process
from rollout.control.feeds import FeedCounts
from rollout.models import Activation

RETENTIONS: list[tuple[type[Model], str, int]] = [
    (FetchAttempt, "started_at", FetchAttempt.KEEP_DAYS),
    (StatusChange, "changed_at", StatusChange.KEEP_DAYS),
    (PriceMove, "moved_at", PriceMove.KEEP_DAYS),
]


@contextmanager
def _fleet_change(verb: str, permission: str, actor: Actor) -> Iterator[None]:
    """Run the block as one audited transaction, after which the poll slots match the states."""
    require(actor, f"providers.{permission}")
    with transaction.atomic(), acting(actor, verb):
        lock_configuration()
        yield
        sync_slots()


def enable(states: Sequence[int], *, actor: Actor) -> int:
    """Enable the states. Their first poll is due at once. Return how many were not enabled before."""
    with _fleet_change("enable", "enable_providerstate", actor):
        changed = ProviderState.objects.filter(pk__in=states, is_enabled=False).update(
            is_enabled=True,
            consecutive_errors=0,  # earlier failures are out of date
            updated_at=Now(),
        )
    _make_due(states)
    return changed


def disable(states: Sequence[int], *, actor: Actor) -> int:
    """Stop polling the states. Return how many were enabled before."""
    with _fleet_change("disable", "disable_providerstate", actor):
        return ProviderState.objects.filter(pk__in=states, is_enabled=True).update(is_enabled=False, updated_at=Now())


def poll_now(states: Sequence[int], *, actor: Actor) -> int:
    """Make the enabled states due, so that the next tick polls them. Return how many slots serve them."""
    require(actor, "providers.poll_providerstate")
    return _make_due(list(ProviderState.objects.pollable().filter(pk__in=states).values_list("pk", flat=True)))


def set_maintenance(states: Sequence[int], *, actor: Actor) -> int:
    """Stop polling the states until an operator returns them to service. Return how many changed."""
    with _fleet_change("maintain", "maintain_providerstate", actor):
        return len(change_status(states, Status.MAINTENANCE, cause="set to maintenance", actor=actor))


def return_to_service(states: Sequence[int], *, actor: Actor) -> int:
    """End the states' maintenance. The first good fetch makes them active. Return how many changed."""
    with _fleet_change("return", "return_providerstate", actor):
        in_maintenance = ProviderState.objects.filter(pk__in=states, status=Status.MAINTENANCE)
        ids = list(in_maintenance.values_list("pk", flat=True))
        changed = change_status(
            states, Status.INACTIVE, only_from=Status.MAINTENANCE, cause="returned to service", actor=actor
        )
        ProviderState.objects.filter(pk__in=ids).update(consecutive_errors=0)  # earlier failures are out of date
    _make_due(states)
    return len(changed)


def _make_due(states: Sequence[int]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(fleet_sql.MAKE_DUE, {"states": list(states)})
        return int(cursor.rowcount)


def save_configuration(row: Provider | ProviderState, *, actor: Actor) -> None:
    """Create the row, or store its configuration. Counters are left alone: polling may have changed them by now."""
    verb = "add" if row._state.adding else "change"
    was_enabled = isinstance(row, ProviderState) and ProviderState.objects.filter(pk=row.pk, is_enabled=True).exists()
    with _fleet_change(verb, f"{verb}_{row._meta.model_name}", actor):
        if verb == "add" or isinstance(row, Provider):
            row.save()
        else:
            row.save(update_fields=[*CONFIGURATION, "updated_at"])
    if isinstance(row, ProviderState) and not was_enabled:
        _make_due([row.pk])


def delete(row: Provider | ProviderState, *, actor: Actor) -> None:
    """Delete the row. Raises Refused if another row refers to it and may not be deleted with it."""
    with _fleet_change("delete", f"delete_{row._meta.model_name}", actor):
        try:
            row.delete()
        except ProtectedError as error:
            raise Refused(f"cannot delete {row}: it is still in use", "disable it instead") from error


def count_dependents(rows: Sequence[Provider] | Sequence[ProviderState]) -> dict[str, int]:
    """Return how many rows of other tables are deleted together with these rows, by what they are."""
    pks = [row.pk for row in rows]
    if all(isinstance(row, ProviderState) for row in rows):
        return {"lines": PropLine.objects.filter(state__in=pks).count()}
    states = ProviderState.objects.filter(provider__in=pks).count()
    return {"provider states": states, "lines": PropLine.objects.filter(state__provider__in=pks).count()}


def poll_due() -> int:
    """Claim the slots that are due and give them to this process's poller. Return how many there were.

    This is one tick. It never waits for a fetch.
    """
    claims = claim_due()
    if claims:
        poller_of_this_process().dispatch(claims)
    watch_fleet()
    return len(claims)


def poll_round(scope: Scope, *, actor: Actor) -> list["Future[Polled]"]:
    """Start a poll of each enabled slot in scope, due or not. Raises Refused if polling is switched off."""
    require(actor, "providers.poll_providerstate")
    if not Activation.objects.allows(Part.POLLING):
        raise Refused("cannot poll: polling is switched off", "run: manage.py reactivate polling")
    return poller_of_this_process().dispatch(claim_due(horizon=timedelta(0), scope=scope, everything=True))


def prune() -> int:
    """Delete log rows past their retention, a batch at a time. Return how many were deleted.

    Also mark the lines of games that began more than a day ago as removed.
    """
    batches.run_in_batches(sql.RETIRE_LINES, batches.PRUNE_BATCH)
    return batches.prune(RETENTIONS) + uploads.prune()


def count_feeds() -> FeedCounts:
    """Return the numbers of enabled states that are healthy, failing and inactive."""
    enabled = ProviderState.objects.filter(is_enabled=True).order_by()
    by_status = dict(enabled.values_list("status").annotate(states=Count("*")))
    failing, healthy = by_status.pop(Status.ERROR, 0), by_status.pop(Status.ACTIVE, 0)
    return FeedCounts(healthy, failing, inactive=sum(by_status.values()))
