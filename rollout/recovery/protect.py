"""Which tables recovery looks after: apps register theirs in `AppConfig.ready`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model

Restored = Callable[[frozenset[type[Model]]], object]
Verify = Callable[[str, int], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Protection:
    """volatile: fields that change by themselves, left out of the content hash and of comparisons. on_standard: what a
    standard rollback does to the table, which an emergency takes out of service; `resets`: the fields that it sets back
    (none: it empties the table). keeps_rows: rows come and go with something that is never restored: a restore changes
    those that are there, and adds and removes none.
    """

    model: type[Model]
    volatile: tuple[str, ...] = ()
    on_standard: Callable[[], object] | None = None
    resets: tuple[str, ...] = ()
    keeps_rows: bool = False

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def columns(self) -> dict[str, str]:
        """Names and types."""
        return {field.column: field.db_type(connection) or "" for field in self.model._meta.local_concrete_fields}

    @property
    def lasting(self) -> dict[str, str]:
        """Those columns that do not change by themselves."""
        return self.columns_without(self.volatile)

    def columns_without(self, fields: tuple[str, ...]) -> dict[str, str]:
        without = {field.column for field in self.model._meta.local_concrete_fields if field.name in fields}
        return {name: kind for name, kind in self.columns.items() if name not in without}


_protected: dict[type[Model], Protection] = {}
_verify: list[Verify] = []
_restored: list[Restored] = []


def protect(
    model: type[Model],
    *,
    volatile: tuple[str, ...] = (),
    on_standard: Callable[[], object] | None = None,
    resets: tuple[str, ...] = (),
    keeps_rows: bool = False,
) -> None:
    """Register a table. Raises FieldDoesNotExist for a field that the model lacks."""
    for name in (*volatile, *resets):
        model._meta.get_field(name)
    _protected[model] = Protection(model, volatile, on_standard, resets, keeps_rows)


def protected() -> tuple[Protection, ...]:
    return tuple(_protected.values())


def when_restored(told: Restored) -> None:
    """Who is to be told, in the transaction that put rows of these tables back."""
    _restored.append(told)


def tell_restored(models: Iterable[type[Model]]) -> None:
    restored = frozenset(models)
    for told in _restored:
        told(restored)


def verify_with(verify: Verify) -> None:
    """Who runs the post-rollback suite: for level and id of a run, evidence whose `passed` says how it went."""
    _verify[:] = [verify]


def verification(level: str, run: int) -> dict[str, Any]:
    if not _verify:
        return {"passed": False, "problem": "ERROR: nobody registered a verification"}
    return _verify[0](level, run)


def of_models(tables: Sequence[str]) -> list[Protection]:
    """Those tables as something to be snapshot, but for the ones that are anyway."""
    known = {each.table for each in protected()}
    return [Protection(model) for name, model in models().items() if name in tables and name not in known]


def models() -> dict[str, type[Model]]:
    return {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}
