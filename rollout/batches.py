"""Statements that change many rows, a batch per transaction, so that nobody waits long for a row."""

from typing import Any

from django.db import connection


def in_batches(statement: str, size: int, **params: Any) -> int:
    """Run it until it finds less than `size` rows, which it takes as `batch`. Returns how many rows it changed."""
    changed = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, params | {"batch": size})
            changed += int(cursor.rowcount)
            if cursor.rowcount < size:
                return changed
