"""database-schema: the tables are what the models say, and what is in them holds together."""

from django.apps import apps
from django.db import models

from caching.models import CacheEntry
from core.health_checks import Finding, View, check, judged
from providers.models import ProviderState
from validation import sql
from validation.checks.schema import columns_of, differences, foreign_keys, missing

MAIN = (ProviderState, CacheEntry)
OURS = ("rollout", "providers", "caching", "validation")
CATEGORY = "database-schema"
WAYS = ("seqscan", "indexscan", "indexonlyscan", "bitmapscan")  # of reading, for the planner
LARGE = 300_000  # rows; of larger tables a full run alone looks at each foreign key


@check("table_exists_provider_states", CATEGORY)
def table_exists_provider_states(view: View) -> Finding:
    return _table(ProviderState, 22, view)


@check("table_exists_portfolio_rationales", CATEGORY)
def table_exists_portfolio_rationales(view: View) -> Finding:
    return _table(CacheEntry, 24, view)


def _table(model: type[models.Model], columns: int, view: View) -> Finding:
    table, wrong = model._meta.db_table, differences(model, view)
    found = len(columns_of(table, view))
    return judged(
        not wrong and found == columns,
        f"{found} columns",
        f"{columns} columns",
        f"{table} is as its model says" if not wrong else f"{table} differs from its model in {len(wrong)} places",
        remedy="run: manage.py migrate; where it says that nothing is to be done, restore the table from a snapshot",
        offending=wrong,
    )


@check("database_integrity", CATEGORY, seconds=60, is_sampled=True)
def database_integrity(view: View) -> Finding:
    wrong = [f"never validated: {name}" for (name,) in view.rows(sql.UNVALIDATED)]
    wrong += [f"invalid index: {name}" for (name,) in view.rows(sql.INVALID)]
    wrong += _orphans(view)
    wrong += [each for model in _ours() if model not in MAIN for each in missing(model, view)]
    wrong += [each for model in MAIN for each in _counted_both_ways(model, view)]
    return judged(
        not wrong,
        f"{len(wrong)} faults",
        "0 faults",
        "constraints are validated, foreign keys whole, indexes valid and complete"
        if not wrong
        else f"the database does not hold together in {len(wrong)} places",
        remedy="repair the rows named, then: ALTER TABLE ... VALIDATE CONSTRAINT ...; or REINDEX INDEX ...",
        offending=wrong,
    )


def _ours() -> list[type[models.Model]]:
    return [model for app in OURS for model in apps.get_app_config(app).get_models()]


def _orphans(view: View) -> list[str]:
    found = []
    for model in _ours():
        table = model._meta.db_table
        rows = view.rows(sql.ESTIMATED_ROWS, [table])
        if not rows or (rows[0][0] > LARGE and not view.is_full):
            continue
        for column, parent in foreign_keys(model):
            target = parent._meta
            names = {"table": table, "column": column, "target": target.db_table, "key": target.pk.column}
            if view.rows(sql.ESTIMATED_ROWS, [target.db_table]) and column in columns_of(table, view):
                count = view.value(sql.ORPHANS.format(**names))
                found += [f"{count} rows of {table} whose {column} leads nowhere"] if count else []
    return found


def _counted_both_ways(model: type[models.Model], view: View) -> list[str]:
    """By reading the table, and by its primary key's index."""
    table, key = model._meta.db_table, model._meta.pk.column
    if key not in columns_of(table, view):
        return []
    counts = []
    for by_table in (True, False):
        for way in WAYS:
            view.rows("SELECT set_config(%s, %s, true)", [f"enable_{way}", str((way == "seqscan") is by_table)])
        counts.append(view.value(f"SELECT count(*) FROM {table} WHERE {key} > 0"))
    for way in WAYS:
        view.rows("SELECT set_config(%s, 'on', true)", [f"enable_{way}"])
    return [f"{table}: {counts[0]} rows in the table, {counts[1]} in its index"] if counts[0] != counts[1] else []
