"""The category database-schema: the tables match their models, and their contents are consistent."""

from collections.abc import Collection

from django.apps import apps
from django.db import models

from caching.models import CacheEntry
from core.health_checks import Finding, View, check, judged
from providers.models import ProviderState
from validation import sql
from validation.checks.schema import columns_of, foreign_keys, missing_parts, table_differences

CATEGORY = "database-schema"
MAIN_MODELS = (ProviderState, CacheEntry)
BUILT_IN_APPS = ("rollout", "providers", "caching", "validation")
SCANS = ("seqscan", "indexscan", "indexonlyscan", "bitmapscan")  # the planner's ways to read a table
TABLE_SCAN, INDEX_SCANS = SCANS[:1], SCANS[1:]
LARGE = 300_000  # rows; only a full run checks the foreign keys of a larger table


@check("table_exists_provider_states", CATEGORY)
def table_exists_provider_states(view: View) -> Finding:
    """Compare the table provider_states with its model. Limit: 22 columns, and no difference."""
    return _compare_table(ProviderState, 22, view)


@check("table_exists_portfolio_rationales", CATEGORY)
def table_exists_portfolio_rationales(view: View) -> Finding:
    """Compare the table portfolio_rationales with its model. Limit: 24 columns, and no difference."""
    return _compare_table(CacheEntry, 24, view)


def _compare_table(model: type[models.Model], columns: int, view: View) -> Finding:
    table = model._meta.db_table
    differences = table_differences(model, view)
    actual_columns = len(columns_of(table, view))
    message = f"{table} differs from its model in {len(differences)} places" if differences else f"{table} is complete"
    return judged(
        not differences and actual_columns == columns,
        f"{actual_columns} columns",
        f"{columns} columns",
        message,
        remedy=f"run: manage.py migrate; if it has nothing to do, run: manage.py restore --latest --table {table}",
        offending=differences,
    )


@check("database_integrity", CATEGORY, seconds=60, is_sampled=True)
def database_integrity(view: View) -> Finding:
    """Count the faults of all tables. Limit: 0.

    A fault is a constraint that was never validated, an invalid index, a foreign key that references no row, a missing
    table, column or foreign key, and a table whose index holds another number of rows than the table.
    """
    faults = [f"constraint never validated: {name}" for (name,) in view.rows(sql.UNVALIDATED_CONSTRAINTS)]
    faults += [f"invalid index: {name}" for (name,) in view.rows(sql.INVALID_INDEXES)]
    faults += _orphans(view)
    for model in _slipway_models():
        if model not in MAIN_MODELS:  # the two checks above compare these in every detail
            faults += missing_parts(model, view)
    for model in MAIN_MODELS:
        faults += _count_differences(model, view)
    return judged(
        not faults,
        f"{len(faults)} faults",
        "0 faults",
        f"the database has {len(faults)} inconsistencies"
        if faults
        else "all constraints are validated, all foreign keys reference a row, all indexes are valid and complete",
        remedy="repair the named rows; then run in psql: ALTER TABLE ... VALIDATE CONSTRAINT ...; or REINDEX INDEX ...",
        offending=faults,
    )


def _slipway_models() -> list[type[models.Model]]:
    return [model for app in BUILT_IN_APPS for model in apps.get_app_config(app).get_models()]


def _orphans(view: View) -> list[str]:
    """Return the foreign keys that reference missing rows. A missing table or column is left to the other checks."""
    orphans = []
    for model in _slipway_models():
        table = model._meta.db_table
        estimate = view.rows(sql.ESTIMATED_ROWS, [table])
        if not estimate or (estimate[0][0] > LARGE and not view.is_full):
            continue
        for column, parent in foreign_keys(model):
            target = parent._meta
            if not view.rows(sql.ESTIMATED_ROWS, [target.db_table]) or column not in columns_of(table, view):
                continue
            names = {"table": table, "column": column, "target": target.db_table, "key": target.pk.column}
            if count := view.value(sql.ORPHANS.format(**names)):
                orphans.append(f"{count} rows of {table} reference a missing row in {column}")
    return orphans


def _count_differences(model: type[models.Model], view: View) -> list[str]:
    """Compare the rows of the table with those of its primary key's index."""
    table, key = model._meta.db_table, model._meta.pk.column
    if key not in columns_of(table, view):
        return []
    in_table = _count_with(TABLE_SCAN, table, key, view)
    in_index = _count_with(INDEX_SCANS, table, key, view)
    _allow_scans(SCANS, view)
    return [f"{table}: {in_table} rows in the table, {in_index} rows in its index"] if in_table != in_index else []


def _count_with(scans: Collection[str], table: str, key: str, view: View) -> int:
    """Return the table's rows as the planner counts them by these ways of reading alone."""
    _allow_scans(scans, view)
    return int(view.value(sql.COUNT_BY_KEY.format(table=table, key=key)))


def _allow_scans(scans: Collection[str], view: View) -> None:
    for scan in SCANS:
        view.rows(sql.SET_SCAN, [f"enable_{scan}", "on" if scan in scans else "off"])
