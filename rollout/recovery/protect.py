"""The registry of the tables that recovery protects. Apps register theirs in `AppConfig.ready`."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model

from core.errors import Taken

OnRestored = Callable[[frozenset[type[Model]]], object]
Verify = Callable[[str, int], dict[str, Any]]  # the evidence is JSON; only its key `passed` is read


@dataclass(frozen=True, slots=True)
class Protection:
    """A protected table, and what snapshots, restores and rollbacks do with it.

    volatile: the fields that change by themselves. No content hash includes them, and no restore compares them.
    on_standard: what a standard rollback does to the table; an emergency takes such a table out of service.
    resets: the fields that `on_standard` sets back. If it is empty, `on_standard` empties the table.
    keeps_rows: rows come and go with an object that is never restored. A restore changes the rows that exist; it adds
    and removes none.
    protected_by: the module that registered the table.
    """

    model: type[Model]
    volatile: tuple[str, ...] = ()
    on_standard: Callable[[], object] | None = None
    resets: tuple[str, ...] = ()
    keeps_rows: bool = False
    protected_by: str = ""

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def columns(self) -> dict[str, str]:
        """The names of the columns and their types."""
        return {field.column: field.db_type(connection) or "" for field in self.model._meta.local_concrete_fields}

    @property
    def lasting(self) -> dict[str, str]:
        """The columns that do not change by themselves, and their types."""
        return self.columns_without(self.volatile)

    def columns_without(self, fields: tuple[str, ...]) -> dict[str, str]:
        """Return the columns of all other fields, and their types."""
        left_out = {field.column for field in self.model._meta.local_concrete_fields if field.name in fields}
        return {name: kind for name, kind in self.columns.items() if name not in left_out}


_protected: dict[type[Model], Protection] = {}
_verify: list[Verify] = []
_on_restored: list[OnRestored] = []


def protect(
    model: type[Model],
    *,
    volatile: tuple[str, ...] = (),
    on_standard: Callable[[], object] | None = None,
    resets: tuple[str, ...] = (),
    keeps_rows: bool = False,
) -> None:
    """Register a table; `Protection` explains the parameters.

    Raises FieldDoesNotExist if the model lacks a field, Taken if the table is registered already.
    """
    for name in (*volatile, *resets):
        model._meta.get_field(name)
    frame = inspect.currentframe()
    caller = str(frame.f_back.f_globals["__name__"]) if frame and frame.f_back else "an unknown module"
    protection = Protection(model, volatile, on_standard, resets, keeps_rows, caller)
    for other in protected():
        if other.table == protection.table:
            raise Taken(
                f"cannot protect the table {other.table} for {caller}: {other.protected_by} protects it already",
                "leave out one of the two calls of protect",
            )
    _protected[model] = protection


def protected() -> tuple[Protection, ...]:
    """Return the protected tables, in the order in which they were registered."""
    return tuple(_protected.values())


def when_restored(callback: OnRestored) -> None:
    """Register a function to call after recovery replaced rows: by a restore, by a quarantine, or by its undo.

    A restore calls it in the transaction that put the rows back.

    callback: receives the models of the tables whose rows were replaced.
    """
    _on_restored.append(callback)


def notify_rows_replaced(models: Iterable[type[Model]]) -> None:
    """Call every registered function with the models of the tables whose rows were replaced."""
    replaced = frozenset(models)
    for callback in _on_restored:
        callback(replaced)


def verify_with(verify: Verify | None) -> None:
    """Register the function that runs the post-rollback suite, in place of the one before; None registers none.

    verify: receives the level and the id of a run. Returns evidence whose key `passed` is the verdict.
    """
    _verify[:] = [] if verify is None else [verify]


def run_verification(level: str, run_id: int) -> dict[str, Any]:
    """Run the post-rollback suite, and return its evidence. If none is registered, it has not passed."""
    if not _verify:
        return {"passed": False, "problem": "ERROR: no post-rollback suite is registered"}
    return _verify[0](level, run_id)


@contextmanager
def registrations_undone() -> Iterator[None]:
    """Forget, at the end of the block, everything that was registered in it. Tests register in such a block."""
    before = dict(_protected), list(_verify), list(_on_restored)
    try:
        yield
    finally:
        _protected.clear()
        _protected.update(before[0])
        _verify[:], _on_restored[:] = before[1:]


def protections_of(tables: Sequence[str]) -> list[Protection]:
    """Return protections for these tables, so that a snapshot can hold them too; registered ones are left out."""
    registered = {protection.table for protection in protected()}
    return [Protection(model) for name, model in models_by_table().items() if name in tables and name not in registered]


def models_by_table() -> dict[str, type[Model]]:
    """Return every model of the project, by the name of its table."""
    return {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}
