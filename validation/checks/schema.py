"""The comparison of a table with its model: columns, keys, constraints, indexes and triggers, read from the catalog."""

from collections.abc import Iterator
from typing import Any

from django.db import models

from core.health_checks import View
from rollout.recovery.postgres.shape import Shape, read_model_shape, read_table_shape
from validation import sql

ENABLED = "O"  # a trigger's state in the catalog


def columns_of(table: str, view: View) -> list[str]:
    """Return the names of the table's columns; none if the table does not exist."""
    return [name for (name,) in view.rows(sql.COLUMNS, [table])]


def table_differences(model: type[models.Model], view: View) -> list[str]:
    """Return every difference between the table and its model, each as text that names the part that differs."""
    table = model._meta.db_table
    if not columns_of(table, view):
        return [f"the table {table} is missing"]
    expected = read_model_shape(model) | _trigger_shape(model)
    unvalidated = view.rows(sql.UNVALIDATED_CONSTRAINTS_OF, [table])
    invalid = view.rows(sql.INVALID_INDEXES_OF, [table])
    return [
        *_shape_differences(model, read_table_shape(view.connection, table), expected),
        *(f"the constraint {name} was never validated" for (name,) in unvalidated),
        *(f"the index {name} is invalid" for (name,) in invalid),
        *(f"the foreign key of {reference} is missing" for reference in _missing_references(model, view)),
    ]


def column_differences(model: type[models.Model], view: View) -> list[str]:
    """Return the differences between the columns of the table and those of its model."""
    table = model._meta.db_table
    if not columns_of(table, view):
        return [f"the table {table} is missing"]
    actual, expected = read_table_shape(view.connection, table), read_model_shape(model)
    return list(_shape_differences(model, _column_shape(actual), _column_shape(expected)))


def missing_parts(model: type[models.Model], view: View) -> list[str]:
    """Return the columns and foreign keys that the table lacks, or the table itself if it is missing."""
    table = model._meta.db_table
    actual = columns_of(table, view)
    if not actual:
        return [f"the table {table} is missing"]
    columns = [field.column for field in model._meta.local_concrete_fields if field.column not in actual]
    return [
        *(f"{table}: the column {column} is missing" for column in columns),
        *(f"{table}: the foreign key of {reference} is missing" for reference in _missing_references(model, view)),
    ]


def foreign_keys(model: type[models.Model]) -> Iterator[tuple[str, type[models.Model]]]:
    """Yield the column and the referenced model of each foreign key that the database enforces."""
    fields: Any = model._meta.local_concrete_fields
    for field in fields:
        if isinstance(field, models.ForeignKey) and getattr(field, "db_constraint", False):
            yield field.column, field.related_model  # type: ignore[misc]


def _trigger_shape(model: type[models.Model]) -> Shape:
    """Return the triggers that the model declares, each of which must be enabled."""
    return {("trigger", trigger.get_pgid(model)): ENABLED for trigger in getattr(model._meta, "triggers", [])}


def _column_shape(shape: Shape) -> Shape:
    return {(kind, name): definition for (kind, name), definition in shape.items() if kind == "column"}


def _shape_differences(model: type[models.Model], actual: Shape, expected: Shape) -> Iterator[str]:
    """Yield the differences. A part whose name Django generated may exist under any name."""
    declared_names = {part.name for part in (*model._meta.constraints, *model._meta.indexes)}
    for (kind, name), definition in expected.items():
        if actual.get((kind, name)) == definition:
            continue
        has_fixed_name = kind in ("column", "trigger") or name in declared_names
        if (kind, name) in actual:
            yield f"the {kind} {name} must be {definition} (got {actual[kind, name]})"
        elif has_fixed_name or not _exists_under_another_name(actual, kind, definition):
            yield f"the {kind} {name} is missing"
    for _, name in _column_shape(actual).keys() - expected.keys():
        yield f"the column {name} is not in the model"


def _exists_under_another_name(actual: Shape, kind: str, definition: str) -> bool:
    return any(kind == other_kind and definition == other for (other_kind, _), other in actual.items())


def _missing_references(model: type[models.Model], view: View) -> list[str]:
    actual = view.rows(sql.REFERENCES, [model._meta.db_table])
    expected = [(column, target._meta.db_table) for column, target in foreign_keys(model)]
    return [f"{column} to {table}" for column, table in expected if (column, table) not in actual]
