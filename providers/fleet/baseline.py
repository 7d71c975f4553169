"""What a backfill gives a new provider state beside what operators set: a standard rollback sets states back to it."""

from functools import cache
from typing import Any

from django.db.models import Model, Q
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from providers.choices import Status
from providers.fleet.backfill import CATALOGUE, sync_slots
from providers.fleet.catalogue import read
from providers.models import COUNTERS, Provider, ProviderState, Sport, StatusChange

COUNTED: dict[str, Any] = dict.fromkeys(COUNTERS, 0) | {"average_response_time_ms": 0.0}
TOLD: dict[str, Any] = {"last_fetch_attempt": None, "last_successful_fetch": None, "last_error": ""}
MEASURED = ("status", *COUNTED, *TOLD)


@cache
def _statuses() -> dict[tuple[str, str], str]:
    """By provider and sport, where the catalogue says another one than inactive."""
    states = read(CATALOGUE.read_bytes(), set(), set()).states
    return {(each.provider_name, each.sport): each.status for each in states}


def _wrong_status() -> list[tuple[int, str, str, str, str]]:
    """Id, provider, sport, status and what it should be; maintenance is an operator's."""
    states = ProviderState.objects.exclude(status=Status.MAINTENANCE).order_by("pk")
    rows = states.values_list("pk", "provider_id", "sport_id", "status")
    wanted = [(*row, _statuses().get((row[1], row[2]), Status.INACTIVE.value)) for row in rows]
    return [row for row in wanted if row[3] != row[4]]


def set_back() -> None:
    """Inside the caller's transaction, in which nobody else writes."""
    wrong = _wrong_status()
    StatusChange.objects.bulk_create(
        StatusChange(
            provider_name=provider,
            sport=sport,
            from_status=was,
            to_status=wanted,
            cause="a standard rollback",
            actor=SYSTEM.get_username(),
        )
        for _, provider, sport, was, wanted in wrong
    )
    for status in {wanted for *_, wanted in wrong}:
        ProviderState.objects.filter(pk__in=[pk for pk, *_, wanted in wrong if wanted == status]).update(status=status)
    ProviderState.objects.update(**COUNTED, **TOLD, updated_at=Now())


def unlike() -> list[str]:
    """States that are not as it leaves them, by name."""
    measured = Q()
    for name, value in (COUNTED | TOLD).items():
        measured |= Q(**{f"{name}__isnull": False}) if value is None else ~Q(**{name: value})
    found = [str(state) for state in ProviderState.objects.filter(measured)]
    return sorted({*found, *(f"{provider} {sport}" for _, provider, sport, *_ in _wrong_status())})


def restored(models: frozenset[type[Model]]) -> None:
    if models & {Provider, ProviderState, Sport}:
        sync_slots()
