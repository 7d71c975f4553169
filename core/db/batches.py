"""Statements that change many rows, a batch per transaction, so that nobody waits long for a row."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection
from django.db.models import Model

from rollout import sql

PRUNE_BATCH = 1000


def prune(kept: Iterable[tuple[type[Model], str, int]]) -> int:
    """Delete what is past its retention, of (table, the column of its age, days). Returns how many rows."""
    statements = ((sql.PRUNE.format(table=model._meta.db_table, column=column), days) for model, column, days in kept)
    return sum(in_batches(statement, PRUNE_BATCH, days=days) for statement, days in statements)


def in_batches(statement: str, size: int, *, progress: Callable[[int], None] = lambda more: None, **params: Any) -> int:
    """Run it until it finds less than `size` rows, which it takes as `batch`. Returns how many rows it changed."""
    changed = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, params | {"batch": size})
            changed += int(cursor.rowcount)
            progress(int(cursor.rowcount))
            if cursor.rowcount < size:
                return changed
