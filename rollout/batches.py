"""Statements that change many rows, a batch per transaction, so that nobody waits long for a row."""

from collections.abc import Callable
from typing import Any

from django.db import connection


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
