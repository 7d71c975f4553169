"""Short waits for locks: a statement that another session blocks gives up, instead of waiting for its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import OperationalError, connection, transaction

from core.db import sql

SHORT_MS = 250
T = TypeVar("T")


@contextmanager
def short_lock_waits(milliseconds: int = SHORT_MS) -> Iterator[None]:
    """Limit the time that each statement of the block waits for a lock.

    The block is a transaction, or a savepoint of the one that is open: if it raises, only what it did is undone.
    If it is a transaction, the limit holds for its commit too, which checks foreign keys and may wait for their rows.
    Raises django.db.OperationalError if a statement waited longer.

    milliseconds: the limit, 1 or more.
    """
    is_savepoint = connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.LIMIT_LOCK_WAITS, [f"{milliseconds}ms"])
        before, _ = cursor.fetchone()
        yield
        if is_savepoint:  # after an error the rollback does this
            cursor.execute(sql.LIMIT_LOCK_WAITS, [before])


def unless_locked(read: Callable[[], T]) -> T | None:
    """Return what `read` returns, and None if one of its statements waited too long for another session's lock."""
    try:
        with short_lock_waits():
            return read()
    except OperationalError:
        return None
