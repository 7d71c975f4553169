"""Short waits for locks: a statement that another session blocks gives up, instead of waiting for its end."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from core.db import sql

SHORT_MS = 250


@contextmanager
def short_lock_waits(milliseconds: int = SHORT_MS) -> Iterator[None]:
    """Limit the time that each statement of the block waits for a lock.

    The block is a transaction, or a savepoint of the one that is open: if it raises, only what it did is undone.
    Raises django.db.OperationalError if a statement waited longer.

    milliseconds: the limit, 1 or more.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.LIMIT_LOCK_WAITS, [f"{milliseconds}ms"])
        before, _ = cursor.fetchone()
        yield
        cursor.execute(sql.LIMIT_LOCK_WAITS, [before])  # after an error the rollback does this
