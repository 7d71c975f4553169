"""The values that a backfill gives a new provider state, apart from its configuration: the baseline.

A standard rollback sets all states back to it.
"""

from functools import cache
from typing import Any, NamedTuple

from django.db.models import Model, Q
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from providers.choices import Status
from providers.fleet.backfill import CATALOGUE, sync_slots
from providers.fleet.catalogue import read_catalogue
from providers.models import COUNTERS, Provider, ProviderState, Sport, StatusChange

COUNTED: dict[str, Any] = dict.fromkeys(COUNTERS, 0) | {"average_response_time_ms": 0.0}
FETCHED: dict[str, Any] = {"last_fetch_attempt": None, "last_successful_fetch": None, "last_error": ""}
MEASURED = ("status", *COUNTED, *FETCHED)


class WrongStatus(NamedTuple):
    """A provider state whose status is not its baseline."""

    id: int
    provider: str
    sport: str
    status: str
    baseline: str


@cache
def _catalogue_statuses() -> dict[tuple[str, str], str]:
    """Return the statuses of the catalogue's states by provider and sport."""
    states = read_catalogue(CATALOGUE.read_bytes(), set(), set()).states
    return {(entry.provider_name, entry.sport): entry.status for entry in states}


def _wrong_statuses() -> list[WrongStatus]:
    """Return the states whose status is wrong. Maintenance is the operators' choice, and never wrong."""
    states = ProviderState.objects.exclude(status=Status.MAINTENANCE).order_by("pk")
    wrong = []
    for pk, provider, sport, status in states.values_list("pk", "provider_id", "sport_id", "status"):
        baseline = _catalogue_statuses().get((provider, sport), Status.INACTIVE.value)
        if status != baseline:
            wrong.append(WrongStatus(pk, provider, sport, status, baseline))
    return wrong


def reset_to_baseline() -> None:
    """Set all states back. The caller's transaction keeps other writers out."""
    wrong = _wrong_statuses()
    StatusChange.objects.bulk_create(
        StatusChange(
            provider_name=state.provider,
            sport=state.sport,
            from_status=state.status,
            to_status=state.baseline,
            cause="a standard rollback",
            actor=SYSTEM.get_username(),
        )
        for state in wrong
    )
    for baseline in {state.baseline for state in wrong}:
        ids = [state.id for state in wrong if state.baseline == baseline]
        ProviderState.objects.filter(pk__in=ids).update(status=baseline)
    ProviderState.objects.update(**COUNTED, **FETCHED, updated_at=Now())


def states_off_baseline() -> list[str]:
    """Return the names of the states that differ from the baseline."""
    measured = Q()
    for column, value in (COUNTED | FETCHED).items():
        measured |= Q(**{f"{column}__isnull": False}) if value is None else ~Q(**{column: value})
    names = {str(state) for state in ProviderState.objects.filter(measured)}
    names |= {f"{state.provider} {state.sport}" for state in _wrong_statuses()}
    return sorted(names)


def sync_after_restore(models: frozenset[type[Model]]) -> None:
    """Make the poll slots match after a restore put rows of the fleet's configuration back."""
    if models & {Provider, ProviderState, Sport}:
        sync_slots()
