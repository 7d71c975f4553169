"""Whether a table is what its model says: columns, types, keys, constraints and indexes, read from the catalogue."""

from collections.abc import Iterator
from typing import Any

from django.db import models

from rollout.criteria import View

COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
 WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
CONSTRAINTS = """
SELECT conname, contype, convalidated, confrelid::regclass::text,
       ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY(conkey))
  FROM pg_constraint WHERE conrelid = to_regclass(%s)"""
INDEXES = """
SELECT cls.relname, idx.indisunique, idx.indisvalid,
       (SELECT attname FROM pg_attribute WHERE attrelid = idx.indrelid AND attnum = idx.indkey[0])
  FROM pg_index idx JOIN pg_class cls ON cls.oid = idx.indexrelid WHERE idx.indrelid = to_regclass(%s)"""
IDENTITY = """
SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s AND attidentity <> ''"""
TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal AND tgenabled <> 'D'"
WORDS = {"varchar": "character varying"}


def columns_of(table: str, view: View) -> dict[str, tuple[str, bool]]:
    """Type and whether it may be empty, by name; nothing where there is no such table."""
    return {name: (kind, not is_full) for name, kind, is_full in view.rows(COLUMNS, [table])}


def differences(model: type[models.Model], view: View) -> list[str]:
    """In words, each with the name of what differs."""
    table = model._meta.db_table
    found = columns_of(table, view)
    if not found:
        return [f"the table {table} is missing"]
    return [*_columns(model, found, view), *_constraints(model, view), *_indexes(model, view)]


def column_differences(model: type[models.Model], view: View) -> list[str]:
    found = columns_of(model._meta.db_table, view)
    return list(_columns(model, found, view)) if found else [f"the table {model._meta.db_table} is missing"]


def _columns(model: type[models.Model], found: dict[str, tuple[str, bool]], view: View) -> Iterator[str]:
    wanted = {field.column: field for field in model._meta.local_concrete_fields}
    for name in wanted.keys() - found.keys():
        yield f"the column {name} is missing"
    for name in found.keys() - wanted.keys():
        yield f"the column {name} is not the model's"
    if model._meta.pk.column in found and not view.rows(IDENTITY, [model._meta.db_table, model._meta.pk.column]):
        yield f"the column {model._meta.pk.column} numbers no new rows"
    for name, field in wanted.items():
        if name in found:
            kind, may_be_empty = found[name]
            expected = _type(field, view)
            if kind != expected:
                yield f"the column {name} is {kind}, not {expected}"
            if may_be_empty != field.null:
                yield f"the column {name} {'may' if may_be_empty else 'may not'} be empty"


def _type(field: "models.Field[Any, Any]", view: View) -> str:
    said = field.db_type(view.connection) or ""
    base, bracket, rest = said.partition("(")
    return WORDS.get(base, base) + bracket + rest


def _constraints(model: type[models.Model], view: View) -> Iterator[str]:
    meta = model._meta
    rows = view.rows(CONSTRAINTS, [meta.db_table])
    names = {name for name, *_ in rows} | {name for name, *_ in view.rows(INDEXES, [meta.db_table])}
    yield from (f"the constraint {name} was never validated" for name, _, validated, *_ in rows if not validated)
    yield from (f"the constraint {each.name} is missing" for each in meta.constraints if each.name not in names)
    yield from _uniqueness(model, rows, names)
    yield from _triggers(model, view)
    if [columns for _, kind, _, _, columns in rows if kind == "p"] != [[meta.pk.column]]:
        yield "the primary key is missing"
    references = {(columns[0], target) for _, kind, _, target, columns in rows if kind == "f"}
    for column, target in foreign_keys(model):
        if (column, target._meta.db_table) not in references:
            yield f"the foreign key of {column} to {target._meta.db_table} is missing"


def _uniqueness(model: type[models.Model], rows: list[tuple[Any, ...]], names: set[str]) -> Iterator[str]:
    """A plain index may bear a unique constraint's name."""
    kinds = {name: (kind, sorted(columns)) for name, kind, _, _, columns in rows}
    constraints: Any = model._meta.constraints
    for each in constraints:
        if isinstance(each, models.UniqueConstraint) and each.fields and each.condition is None:
            fields: Any = [model._meta.get_field(name) for name in each.fields]
            columns = sorted(str(field.column) for field in fields)
            if each.name in names and kinds.get(each.name) != ("u", columns):
                yield f"{each.name} does not keep {', '.join(columns)} unique"


def _triggers(model: type[models.Model], view: View) -> Iterator[str]:
    found = {name for (name,) in view.rows(TRIGGERS, [model._meta.db_table])}
    for trigger in getattr(model._meta, "triggers", []):
        if trigger.get_pgid(model) not in found:
            yield f"the trigger {trigger.name} is missing"


def missing(model: type[models.Model], view: View) -> list[str]:
    """The table itself, or columns and foreign keys of it, in words."""
    table = model._meta.db_table
    found = columns_of(table, view)
    if not found:
        return [f"the table {table} is missing"]
    lacking = [field.column for field in model._meta.local_concrete_fields if field.column not in found]
    rows = view.rows(CONSTRAINTS, [table])
    references = {(columns[0], target) for _, kind, _, target, columns in rows if kind == "f"}
    wanted = [(column, target._meta.db_table) for column, target in foreign_keys(model)]
    return [
        *(f"{table}: the column {column} is missing" for column in lacking),
        *(f"{table}: the foreign key of {each[0]} is missing" for each in wanted if each not in references),
    ]


def foreign_keys(model: type[models.Model]) -> Iterator[tuple[str, type[models.Model]]]:
    """Column and the model it leads to, of those that the database keeps."""
    fields: Any = model._meta.local_concrete_fields
    for field in fields:
        if isinstance(field, models.ForeignKey) and getattr(field, "db_constraint", False):
            yield field.column, field.related_model  # type: ignore[misc]


def _indexes(model: type[models.Model], view: View) -> Iterator[str]:
    meta = model._meta
    rows = view.rows(INDEXES, [meta.db_table])
    for name, _, is_valid, _ in rows:
        if not is_valid:
            yield f"the index {name} is invalid"
    names, leading = {name for name, *_ in rows}, {column for *_, column in rows}
    unique = {column for _, is_unique, _, column in rows if is_unique}
    for index in meta.indexes:
        if index.name not in names:
            yield f"the index {index.name} is missing"
    fields: Any = meta.local_concrete_fields
    for field in fields:
        if (field.db_index or field.unique) and field.column not in (unique if field.unique else leading):
            yield f"the index on {field.column} is missing"
