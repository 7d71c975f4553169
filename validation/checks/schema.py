"""Whether a table is what its model says: columns, types, keys, constraints, indexes and triggers, read from the
catalogue.
"""

from collections.abc import Iterator
from typing import Any

from django.db import models

from core.health_checks import View
from rollout.recovery.postgres.shape import Shape, as_modelled, shape
from validation import sql


def columns_of(table: str, view: View) -> list[str]:
    """By name; none where there is no such table."""
    return [name for (name,) in view.rows(sql.COLUMNS, [table])]


def differences(model: type[models.Model], view: View) -> list[str]:
    """In words, each with the name of what differs."""
    table = model._meta.db_table
    if not columns_of(table, view):
        return [f"the table {table} is missing"]
    return [
        *_different(model, shape(view.connection, table), as_modelled(model) | _triggers(model)),
        *(f"the constraint {name} was never validated" for (name,) in view.rows(sql.UNVALIDATED_OF, [table])),
        *(f"the index {name} is invalid" for (name,) in view.rows(sql.INVALID_OF, [table])),
        *(f"the foreign key of {each} is missing" for each in _lost_references(model, view)),
    ]


def column_differences(model: type[models.Model], view: View) -> list[str]:
    table = model._meta.db_table
    if not columns_of(table, view):
        return [f"the table {table} is missing"]
    found, wanted = shape(view.connection, table), as_modelled(model)
    return list(_different(model, _columns(found), _columns(wanted)))


def _triggers(model: type[models.Model]) -> Shape:
    enabled = "O"
    return {("trigger", trigger.get_pgid(model)): enabled for trigger in getattr(model._meta, "triggers", [])}


def _columns(whole: Shape) -> Shape:
    return {(kind, name): definition for (kind, name), definition in whole.items() if kind == "column"}


def _different(model: type[models.Model], found: Shape, wanted: Shape) -> Iterator[str]:
    named = {each.name for each in (*model._meta.constraints, *model._meta.indexes)}
    for (kind, name), definition in wanted.items():
        if found.get((kind, name)) == definition:
            continue
        if (kind, name) in found:
            yield f"the {kind} {name} is {found[kind, name]}, not {definition}"
        elif kind in ("column", "trigger") or name in named or not _has(found, kind, definition):
            yield f"the {kind} {name} is missing"
    yield from (f"the column {name} is not the model's" for _, name in _columns(found).keys() - wanted.keys())


def _has(found: Shape, kind: str, definition: str) -> bool:
    """Under whatever name, since Django made it up."""
    return any(kind == each and definition == said for (each, _), said in found.items())


def missing(model: type[models.Model], view: View) -> list[str]:
    """The table itself, or columns and foreign keys of it, in words."""
    table, found = model._meta.db_table, columns_of(model._meta.db_table, view)
    if not found:
        return [f"the table {table} is missing"]
    lacking = [field.column for field in model._meta.local_concrete_fields if field.column not in found]
    return [
        *(f"{table}: the column {column} is missing" for column in lacking),
        *(f"{table}: the foreign key of {each} is missing" for each in _lost_references(model, view)),
    ]


def _lost_references(model: type[models.Model], view: View) -> list[str]:
    found = view.rows(sql.REFERENCES, [model._meta.db_table])
    wanted = [(column, target._meta.db_table) for column, target in foreign_keys(model)]
    return [f"{column} to {table}" for column, table in wanted if (column, table) not in found]


def foreign_keys(model: type[models.Model]) -> Iterator[tuple[str, type[models.Model]]]:
    """Column and the model it leads to, of those that the database keeps."""
    fields: Any = model._meta.local_concrete_fields
    for field in fields:
        if isinstance(field, models.ForeignKey) and getattr(field, "db_constraint", False):
            yield field.column, field.related_model  # type: ignore[misc]
