"""Bring the tables to the catalogue: one transaction, all or nothing, as often as one likes."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from core.access.actors import Actor, require
from core.access.audit import acting
from core.errors import WrongInput
from providers import sql
from providers.fleet.catalogue import (
    PROVIDER_COLUMNS,
    STATE_COLUMNS,
    Catalogue,
    Changes,
    Key,
    ProviderEntry,
    StateEntry,
    changes,
    read,
)
from providers.models import Provider, ProviderState, Sport

CATALOGUE = Path(__file__).parent / "catalogue.json"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which entries are meant; None: all."""

    provider: str | None = None
    sport: str | None = None

    def holds(self, provider: str, sport: str) -> bool:
        return self.provider in (None, provider) and self.sport in (None, sport)


@dataclass(frozen=True, slots=True)
class Backfilled:
    """Of provider states, as `provider/sport`: what was (or, dry, would be) done."""

    created: list[str]
    updated: list[str]
    unchanged: list[str]
    unknown: list[str]
    total: int
    dry_run: bool

    def document(self) -> dict[str, Any]:
        counts = {name: len(getattr(self, name)) for name in ("created", "updated", "unchanged")}
        names = {"created_states": self.created, "updated_states": self.updated}
        return asdict(self) | counts | names


@dataclass(frozen=True, slots=True)
class Plan:
    providers: Changes
    states: Changes
    unknown: list[Key]  # states that the catalogue doesn't hold

    @property
    def updated(self) -> list[Key]:
        """A state is changed too when its provider is."""
        by_provider = [key for key in self.states.unchanged if key[:1] in self.providers.update]
        return [*self.states.update, *by_provider]


def backfill(
    text: bytes, *, actor: Actor, scope: Scope = Scope(), reset: bool = False, dry_run: bool = False
) -> Backfilled:
    """Create the catalogue's rows that are missing; with `reset` set the others' configuration to it too.

    Raises WrongInput for a catalogue that is wrong, or a scope that it does not hold; nothing is changed then.
    """
    require(actor, "providers.add_providerstate")
    require(actor, "providers.change_providerstate")
    with transaction.atomic(), acting(actor, "backfill"):
        with connection.cursor() as cursor:
            cursor.execute(sql.ONE_CHANGE_AT_A_TIME)
        catalogue = read(text, set(Sport.objects.in_bulk()), set(Provider.objects.in_bulk()))
        plan = _plan(catalogue, scope, reset=reset)
        if not dry_run:
            _apply(catalogue, plan)
    unchanged = [key for key in plan.states.unchanged if key not in plan.updated]
    return Backfilled(
        created=_names(plan.states.create),
        updated=_names(plan.updated),
        unchanged=_names(unchanged),
        unknown=_names(plan.unknown),
        total=len(plan.states.create) + len(plan.updated) + len(unchanged),
        dry_run=dry_run,
    )


def _plan(catalogue: Catalogue, scope: Scope, *, reset: bool) -> Plan:
    wanted: dict[Key, StateEntry] = {
        (entry.provider_name, entry.sport): entry
        for entry in catalogue.states
        if scope.holds(entry.provider_name, entry.sport)
    }
    if scope != Scope() and not wanted:
        said = "/".join(filter(None, (scope.provider, scope.sport)))
        raise WrongInput(f"the catalogue holds nothing for {said}", "check the spelling")
    found: dict[Key, ProviderState] = {(row.provider_id, row.sport_id): row for row in ProviderState.objects.all()}
    needed = {name for name, _ in wanted}
    providers: dict[Key, ProviderEntry] = {
        (entry.name,): entry for entry in catalogue.providers if scope == Scope() or entry.name in needed
    }
    existing: dict[Key, Provider] = {(name,): row for name, row in Provider.objects.in_bulk().items()}
    return Plan(
        changes(providers, existing, PROVIDER_COLUMNS, reset=reset),
        changes(wanted, found, STATE_COLUMNS, reset=reset),
        [key for key in found if scope.holds(key[0], key[1]) and key not in wanted],
    )


def _names(keys: Iterable[Key]) -> list[str]:
    return sorted("/".join(key) for key in keys)


def _apply(catalogue: Catalogue, plan: Plan) -> None:
    sports = [Sport(code=entry.code, name=entry.name) for entry in catalogue.sports]
    Sport.objects.bulk_create(sports, ignore_conflicts=True)
    for (name,), entry in plan.providers.create.items():
        Provider.objects.create(name=name, **{column: getattr(entry, column) for column in PROVIDER_COLUMNS})
    for (name,), new in plan.providers.update.items():
        Provider.objects.filter(name=name).update(**new)
    ProviderState.objects.bulk_create(_new_state(key, entry) for key, entry in plan.states.create.items())
    for (name, sport), new in plan.states.update.items():
        ProviderState.objects.filter(provider=name, sport=sport).update(**new)
    sync_slots()


def _new_state(key: Key, entry: Any) -> ProviderState:
    columns = {column: getattr(entry, column) for column in STATE_COLUMNS}
    return ProviderState(provider_id=key[0], sport_id=key[1], status=entry.status, **columns)


def sync_slots() -> None:
    """Bring the slots to what the enabled states ask for; part of every change of configuration."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SYNC_SLOTS)
