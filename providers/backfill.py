"""Bring the tables to the catalogue: one transaction, all or nothing, as often as one likes."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from providers import sql
from providers.catalogue import PROVIDER_COLUMNS, STATE_COLUMNS, Changes, Key, changes, read
from providers.models import Provider, ProviderState, Sport
from rollout.actors import Actor, require
from rollout.audit import acting
from rollout.errors import WrongInput

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
            cursor.execute(sql.ONE_BACKFILL_AT_A_TIME)
        catalogue = read(text, set(Sport.objects.values_list("pk", flat=True)), set(_providers()))
        wanted = {
            (entry.provider_name, entry.sport): entry
            for entry in catalogue.states
            if scope.holds(entry.provider_name, entry.sport)
        }
        if scope != Scope() and not wanted:
            raise WrongInput(f"the catalogue holds nothing for {scope.provider or scope.sport}", "check the spelling")
        found = {(state.provider_id, state.sport_id): state for state in ProviderState.objects.all()}
        names = {provider for provider, _ in wanted} if scope != Scope() else {e.name for e in catalogue.providers}
        providers = changes(
            {(entry.name,): entry for entry in catalogue.providers if entry.name in names},
            {(name,): row for name, row in _providers().items()},
            PROVIDER_COLUMNS,
            reset=reset,
        )
        states = changes(wanted, found, STATE_COLUMNS, reset=reset)
        if not dry_run:
            sports = [Sport(code=entry.code, name=entry.name) for entry in catalogue.sports]
            Sport.objects.bulk_create(sports, ignore_conflicts=True)
            _apply(providers, states)
    # A state is changed too when its provider is.
    updated = [key for key in wanted if key in states.update or (key in found and key[:1] in providers.update)]
    unknown = [key for key in found if scope.holds(*key) and key not in wanted]
    return Backfilled(
        created=_names(states.create),
        updated=_names(updated),
        unchanged=_names(key for key in states.unchanged if key not in updated),
        unknown=_names(unknown),
        total=len(wanted),
        dry_run=dry_run,
    )


def _providers() -> dict[str, Provider]:
    return Provider.objects.in_bulk()


def _names(keys: Any) -> list[str]:
    return sorted("/".join(key) for key in keys)


def _apply(providers: Changes, states: Changes) -> None:
    for (name,), entry in providers.create.items():
        Provider.objects.create(name=name, **{column: getattr(entry, column) for column in PROVIDER_COLUMNS})
    for (name,), new in providers.update.items():
        Provider.objects.filter(name=name).update(**new)
    ProviderState.objects.bulk_create(_new_state(key, entry) for key, entry in states.create.items())
    for (name, sport), new in states.update.items():
        ProviderState.objects.filter(provider=name, sport=sport).update(**new)
    sync_slots()


def _new_state(key: Key, entry: Any) -> ProviderState:
    columns = {column: getattr(entry, column) for column in STATE_COLUMNS}
    return ProviderState(provider_id=key[0], sport_id=key[1], status=entry.status, **columns)


def sync_slots() -> None:
    """Bring the slots to what the enabled states ask for; part of every change of configuration."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SYNC_SLOTS)
