"""The catalogue of providers: what a file may say, and the plan that brings the tables to it. No I/O."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from django.core.exceptions import ValidationError
from msgspec import Meta, Struct

from core.errors import WrongInput
from providers.choices import Adapter
from providers.validators import validate_base_url, validate_credential_env

CORRECT_IT = "correct it; nothing was changed"
Key = tuple[str, ...]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,50}$")]
Code = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,8}$")]


class SportEntry(Struct, frozen=True, forbid_unknown_fields=True):
    code: Code
    name: Annotated[str, Meta(min_length=1, max_length=50)]


class ProviderEntry(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    adapter: Adapter
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


Entry = SportEntry | ProviderEntry | StateEntry
E = TypeVar("E", SportEntry, ProviderEntry, StateEntry)
PROVIDER_COLUMNS = ("adapter", "base_url", "credential_env", "requests_per_minute", "is_priority")
STATE_COLUMNS = ("is_enabled", "poll_interval_seconds", "timeout_seconds", "max_retries", "capabilities")


def read(text: bytes, known_sports: set[str], known_providers: set[str]) -> Catalogue:
    """Raises WrongInput, naming entry and field, for whatever the tables could not hold."""
    try:
        catalogue = msgspec.json.decode(text, type=Catalogue)
    except msgspec.ValidationError as error:
        raise WrongInput(f"the catalogue is wrong: {_with_place_first(str(error))}", CORRECT_IT) from None
    except msgspec.DecodeError as error:
        raise WrongInput(f"the catalogue is not valid JSON: {error}", CORRECT_IT) from None
    known_sports = known_sports | {entry.code for entry in catalogue.sports}
    known_providers = known_providers | {entry.name for entry in catalogue.providers}
    for place, problem in _faults(catalogue, known_sports, known_providers):
        raise WrongInput(f"the catalogue is wrong: {place}: {problem}", CORRECT_IT)
    return catalogue


def _with_place_first(message: str) -> str:
    """msgspec's "Expected ... - at `$.states[3].sport`" as "states[3].sport: expected ..."."""
    found = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", message, re.DOTALL)
    assert found is not None  # matches anything
    problem, place = found.groups()
    return f"{place or 'top level'}: {problem[:1].lower()}{problem[1:]}"


def _faults(catalogue: Catalogue, sports: set[str], providers: set[str]) -> Iterator[tuple[str, str]]:
    yield from _duplicates("sports", [(entry.code,) for entry in catalogue.sports])
    yield from _duplicates("providers", [(entry.name,) for entry in catalogue.providers])
    yield from _duplicates("states", [(entry.provider_name, entry.sport) for entry in catalogue.states])
    for index, provider in enumerate(catalogue.providers):
        for column, validate in (("base_url", validate_base_url), ("credential_env", validate_credential_env)):
            try:
                if value := getattr(provider, column):
                    validate(value)
            except ValidationError as error:
                yield f"providers[{index}].{column} ({provider.name})", error.messages[0]
    for index, state in enumerate(catalogue.states):
        if state.sport not in sports:
            yield f"states[{index}].sport", f"unknown sport {state.sport}"
        if state.provider_name not in providers:
            yield f"states[{index}].provider_name", f"unknown provider {state.provider_name}"


def _duplicates(table: str, keys: list[Key]) -> Iterator[tuple[str, str]]:
    first: dict[Key, int] = {}
    for index, key in enumerate(keys):
        if key in first:
            yield f"{table}[{index}]", f"{'/'.join(key)} stands in {table}[{first[key]}] already"
        first.setdefault(key, index)


@dataclass(frozen=True, slots=True)
class Changes:
    """Of one table: what to create, what to set ({key: {column: value}}), what already is as it should be."""

    create: dict[Key, Any] = field(default_factory=dict)
    update: dict[Key, dict[str, Any]] = field(default_factory=dict)
    unchanged: tuple[Key, ...] = ()


def changes(wanted: Mapping[Key, Any], found: Mapping[Key, Any], columns: tuple[str, ...], *, reset: bool) -> Changes:
    """Compare entries with rows. Without `reset` a row that exists is an operator's, and stays as it is."""
    update = {}
    for key in wanted.keys() & found.keys() if reset else ():
        new = {column: getattr(wanted[key], column) for column in columns}
        if differing := {column: value for column, value in new.items() if getattr(found[key], column) != value}:
            update[key] = differing
    create = {key: entry for key, entry in wanted.items() if key not in found}
    unchanged = tuple(key for key in wanted if key in found and key not in update)
    return Changes(create, update, unchanged)
