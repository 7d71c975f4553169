"""The backfill, which brings the tables to the catalogue: all of it in one transaction, and repeatable."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from core.access.actors import Actor, require
from core.access.audit import acting
from core.errors import WrongInput
from providers.fleet import sql
from providers.fleet.catalogue import (
    PROVIDER_COLUMNS,
    STATE_COLUMNS,
    Catalogue,
    Key,
    ProviderEntry,
    StateEntry,
    TableChanges,
    plan_changes,
    read_catalogue,
)
from providers.models import Provider, ProviderState, Sport

CATALOGUE = Path(__file__).parent / "catalogue.json"


@dataclass(frozen=True, slots=True)
class Scope:
    """The provider and the sport that an operation is limited to. None means all of them."""

    provider: str | None = None
    sport: str | None = None

    def includes(self, provider: str, sport: str) -> bool:
        return self.provider in (None, provider) and self.sport in (None, sport)


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """The provider states, as `provider/sport`, by what was done to them (in a dry run: what would be done).

    unknown: the states that the catalogue does not contain. They are left as they are.
    """

    created: list[str]
    updated: list[str]
    unchanged: list[str]
    unknown: list[str]
    total: int
    dry_run: bool

    def document(self) -> dict[str, Any]:
        """Return the JSON document of `backfill_providers --json`."""
        return {
            "created": len(self.created),
            "updated": len(self.updated),
            "unchanged": len(self.unchanged),
            "unknown": self.unknown,
            "total": self.total,
            "dry_run": self.dry_run,
            "created_states": self.created,
            "updated_states": self.updated,
        }


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """The changes of both tables, and the keys of the states that the catalogue does not contain."""

    providers: TableChanges[ProviderEntry]
    states: TableChanges[StateEntry]
    unknown: list[Key]

    @property
    def updated(self) -> list[Key]:
        """The states that change. A state also changes if its provider changes."""
        by_provider = [key for key in self.states.unchanged if key[:1] in self.providers.update]
        return [*self.states.update, *by_provider]


def backfill(
    text: bytes, *, actor: Actor, scope: Scope = Scope(), reset: bool = False, dry_run: bool = False
) -> BackfillResult:
    """Create the rows of the catalogue that are missing, and make the poll slots match.

    text: the catalogue's JSON.
    reset: also set the configuration of the existing rows to the catalogue's.
    dry_run: change nothing.
    Raises WrongInput, with nothing changed, if the catalogue is wrong or does not contain the scope.
    """
    require(actor, "providers.add_providerstate")
    require(actor, "providers.change_providerstate")
    with transaction.atomic(), acting(actor, "backfill"):
        lock_configuration()
        catalogue = read_catalogue(text, set(Sport.objects.in_bulk()), set(Provider.objects.in_bulk()))
        plan = _plan(catalogue, scope, reset=reset)
        if not dry_run:
            _apply(catalogue, plan)
    unchanged = [key for key in plan.states.unchanged if key not in plan.updated]
    return BackfillResult(
        created=_names(plan.states.create),
        updated=_names(plan.updated),
        unchanged=_names(unchanged),
        unknown=_names(plan.unknown),
        total=len(plan.states.create) + len(plan.updated) + len(unchanged),
        dry_run=dry_run,
    )


def _plan(catalogue: Catalogue, scope: Scope, *, reset: bool) -> BackfillPlan:
    wanted_states: dict[Key, StateEntry] = {
        (entry.provider_name, entry.sport): entry
        for entry in catalogue.states
        if scope.includes(entry.provider_name, entry.sport)
    }
    if scope != Scope() and not wanted_states:
        name = "/".join(filter(None, (scope.provider, scope.sport)))
        raise WrongInput(f"cannot find {name} in the catalogue", "check the spelling of the provider and the sport")
    states: dict[Key, ProviderState] = {(row.provider_id, row.sport_id): row for row in ProviderState.objects.all()}
    needed = {name for name, _ in wanted_states}
    wanted_providers: dict[Key, ProviderEntry] = {
        (entry.name,): entry for entry in catalogue.providers if scope == Scope() or entry.name in needed
    }
    providers: dict[Key, Provider] = {(name,): row for name, row in Provider.objects.in_bulk().items()}
    return BackfillPlan(
        plan_changes(wanted_providers, providers, PROVIDER_COLUMNS, reset=reset),
        plan_changes(wanted_states, states, STATE_COLUMNS, reset=reset),
        [key for key in states if scope.includes(key[0], key[1]) and key not in wanted_states],
    )


def _names(keys: Iterable[Key]) -> list[str]:
    return sorted("/".join(key) for key in keys)


def _apply(catalogue: Catalogue, plan: BackfillPlan) -> None:
    sports = [Sport(code=entry.code, name=entry.name) for entry in catalogue.sports]
    Sport.objects.bulk_create(sports, ignore_conflicts=True)
    for (name,), entry in plan.providers.create.items():
        Provider.objects.create(name=name, **_columns(entry, PROVIDER_COLUMNS))
    for (name,), changed in plan.providers.update.items():
        Provider.objects.filter(name=name).update(**changed)
    ProviderState.objects.bulk_create(
        ProviderState(provider_id=provider, sport_id=sport, status=state.status, **_columns(state, STATE_COLUMNS))
        for (provider, sport), state in plan.states.create.items()
    )
    for (provider, sport), changed in plan.states.update.items():
        ProviderState.objects.filter(provider=provider, sport=sport).update(**changed)
    sync_slots()


def _columns(entry: ProviderEntry | StateEntry, columns: tuple[str, ...]) -> dict[str, Any]:
    return {column: getattr(entry, column) for column in columns}


def lock_configuration() -> None:
    """Make other changes of the fleet's configuration wait until the end of this transaction."""
    with connection.cursor() as cursor:
        cursor.execute(sql.ONE_CHANGE_AT_A_TIME)


def sync_slots() -> None:
    """Make the poll slots match the enabled states. Every change of configuration includes this."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SYNC_SLOTS)
