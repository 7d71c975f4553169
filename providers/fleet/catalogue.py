"""The catalogue of providers: the content of its file, and the changes that bring the tables to it. No I/O."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from django.core.exceptions import ValidationError
from msgspec import Meta, Struct

from core.errors import WrongInput
from providers.adapter_names import NAME_AT_MOST
from providers.validators import validate_adapter, validate_base_url, validate_credential_env

CORRECT_IT = "correct the file; nothing was changed"
Key = tuple[str, ...]  # of a provider its name; of a provider state its provider and sport
Name = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,50}$")]
Code = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,8}$")]


class SportEntry(Struct, frozen=True, forbid_unknown_fields=True):
    code: Code
    name: Annotated[str, Meta(min_length=1, max_length=50)]


class ProviderEntry(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    adapter: Annotated[str, Meta(min_length=1, max_length=NAME_AT_MOST)]
    base_url: Annotated[str, Meta(max_length=200)] = ""
    credential_env: Annotated[str, Meta(max_length=64)] = ""
    requests_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 60
    is_priority: bool = False


class StateEntry(Struct, frozen=True, forbid_unknown_fields=True):
    provider_name: Name
    sport: Code
    status: Literal["inactive", "active", "maintenance"] = "inactive"
    is_enabled: bool = False
    poll_interval_seconds: Annotated[int, Meta(ge=30, le=300)] = 60
    timeout_seconds: Annotated[int, Meta(ge=10, le=60)] = 30
    max_retries: Annotated[int, Meta(ge=0, le=10)] = 3
    capabilities: dict[str, Any] = msgspec.field(default_factory=dict)


class Catalogue(Struct, frozen=True, forbid_unknown_fields=True):
    sports: tuple[SportEntry, ...] = ()
    providers: tuple[ProviderEntry, ...] = ()
    states: tuple[StateEntry, ...] = ()


VALIDATORS: dict[str, Callable[[str], None]] = {
    "adapter": validate_adapter,
    "base_url": validate_base_url,
    "credential_env": validate_credential_env,
}
Entry = TypeVar("Entry", ProviderEntry, StateEntry)
PROVIDER_COLUMNS = ("adapter", "base_url", "credential_env", "requests_per_minute", "is_priority")
STATE_COLUMNS = ("is_enabled", "poll_interval_seconds", "timeout_seconds", "max_retries", "capabilities")


def read_catalogue(text: bytes, known_sports: set[str], known_providers: set[str]) -> Catalogue:
    """Return the catalogue of a file.

    Raises WrongInput, which names entry and field, for the first value that the tables cannot hold.
    """
    try:
        catalogue = msgspec.json.decode(text, type=Catalogue)
    except msgspec.ValidationError as error:
        raise WrongInput(f"cannot use the catalogue: {_with_place_first(str(error))}", CORRECT_IT) from None
    except msgspec.DecodeError as error:
        raise WrongInput(f"cannot use the catalogue: it is not valid JSON: {error}", CORRECT_IT) from None
    sports = known_sports | {entry.code for entry in catalogue.sports}
    providers = known_providers | {entry.name for entry in catalogue.providers}
    fault = next(_faults(catalogue, sports, providers), None)
    if fault is not None:
        raise WrongInput(f"cannot use the catalogue: {fault}", CORRECT_IT)
    return catalogue


def _with_place_first(message: str) -> str:
    """Turn msgspec's "Expected ... - at `$.states[3].sport`" into "states[3].sport: expected ..."."""
    problem, _, path = message.partition(" - at `$")
    place = path.removesuffix("`").removeprefix(".") or "top level"
    return f"{place}: {problem[:1].lower()}{problem[1:]}"


def _faults(catalogue: Catalogue, sports: set[str], providers: set[str]) -> Iterator[str]:
    yield from _duplicates("sports", [(entry.code,) for entry in catalogue.sports])
    yield from _duplicates("providers", [(entry.name,) for entry in catalogue.providers])
    yield from _duplicates("states", [(entry.provider_name, entry.sport) for entry in catalogue.states])
    for index, provider in enumerate(catalogue.providers):
        for column, validate in VALIDATORS.items():
            value = getattr(provider, column)
            if not value:
                continue
            try:
                validate(value)
            except ValidationError as error:
                yield f"providers[{index}].{column} ({provider.name}): {error.messages[0]}"
    for index, state in enumerate(catalogue.states):
        if state.sport not in sports:
            yield f"states[{index}].sport: unknown sport {state.sport}"
        if state.provider_name not in providers:
            yield f"states[{index}].provider_name: unknown provider {state.provider_name}"


def _duplicates(table: str, keys: list[Key]) -> Iterator[str]:
    first: dict[Key, int] = {}
    for index, key in enumerate(keys):
        if key in first:
            yield f"{table}[{index}]: {'/'.join(key)} is already in {table}[{first[key]}]"
        else:
            first[key] = index


@dataclass(frozen=True, slots=True)
class TableChanges(Generic[Entry]):
    """The changes of one table.

    create: the entries of the rows to create.
    update: the columns to set, by the row's key.
    unchanged: the keys of the rows that need no change.
    """

    create: dict[Key, Entry] = field(default_factory=dict)
    update: dict[Key, dict[str, Any]] = field(default_factory=dict)
    unchanged: tuple[Key, ...] = ()


def plan_changes(
    entries: Mapping[Key, Entry], rows: Mapping[Key, Any], columns: tuple[str, ...], *, reset: bool
) -> TableChanges[Entry]:
    """Compare entries with rows. Without `reset`, a row that exists belongs to the operators and stays as it is."""
    create = {key: entry for key, entry in entries.items() if key not in rows}
    update = {}
    if reset:
        for key in entries.keys() & rows.keys():
            values = {column: getattr(entries[key], column) for column in columns}
            changed = {column: value for column, value in values.items() if getattr(rows[key], column) != value}
            if changed:
                update[key] = changed
    unchanged = tuple(key for key in entries if key in rows and key not in update)
    return TableChanges(create, update, unchanged)
