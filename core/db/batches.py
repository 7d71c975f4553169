"""Statements that change many rows in batches, so that no other transaction waits long for a row."""

from collections.abc import Callable, Iterable, Mapping

from django.db import connection
from django.db.models import Model

from core.db import sql

PRUNE_BATCH = 1000


def prune(retentions: Iterable[tuple[type[Model], str, int]]) -> int:
    """Delete the rows that are older than their retention. Return how many were deleted.

    retentions: for each table the model, the timestamp column that the age is counted from, and the retention in days.
    """
    deleted = 0
    for model, column, days in retentions:
        statement = sql.PRUNE.format(table=model._meta.db_table, column=column)
        deleted += run_in_batches(statement, PRUNE_BATCH, {"days": days})
    return deleted


def run_in_batches(
    statement: str,
    size: int,
    params: Mapping[str, int | float | str] | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Run the statement until it changes fewer than `size` rows. Return how many rows it changed.

    Outside a transaction, each batch is a transaction of its own.

    statement: SQL with the parameter `batch`, the number of rows that it may change.
    params: the statement's other parameters.
    progress: called after each batch with the number of rows that it changed.
    """
    changed = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, {**(params or {}), "batch": size})
            rows = int(cursor.rowcount)
        changed += rows
        if progress:
            progress(rows)
        if rows < size:
            return changed
