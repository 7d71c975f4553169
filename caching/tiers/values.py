"""The values of the Django cache backend, in their table and in the tiers."""

from dataclasses import dataclass, field
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction

from caching import sql
from caching.models import CacheValue
from caching.tiers.entries import stamp_now
from caching.tiers.records import Lookup, Record
from caching.tiers.row_reader import read_row
from caching.tiers.tiered_store import TieredStore
from core.process.per_process import PerProcess

REPEATABLE = (sql.PUT_VALUE, sql.TOUCH_VALUE, sql.DELETE_VALUE)  # running one of these twice does what once does


@dataclass(slots=True)
class Room:
    """The room for new values, as of the last count.

    used: the values that were added since then. free: for each maximum, how many may be added before the next count.
    """

    used: int = 0
    free: dict[int, int] = field(default_factory=dict)


# A fork counts again, because its parent goes on to write too.
_room = PerProcess(Room)


def get_value(name: str) -> Lookup:
    """Look the value up in the tiers."""
    return VALUES.get(name)


def put_value(name: str, data: bytes, timeout_seconds: float | None, *, only_new: bool = False) -> bool:
    """Store the value, unless `only_new` is set and a value exists. Return whether the value was stored."""
    statement = sql.ADD_VALUE if only_new else sql.PUT_VALUE
    row = _write(statement, name, timeout_seconds=timeout_seconds, data=data.decode())
    if row is None:
        return False
    is_new, stamp, ends_at = row
    if is_new:
        _room().used += 1
    VALUES.announce({name: _record(data, stamp, ends_at)})
    return True


def touch_value(name: str, timeout_seconds: float | None) -> bool:
    """Give the value another expiry. Return whether it exists."""
    row = _write(sql.TOUCH_VALUE, name, timeout_seconds=timeout_seconds)
    if row is None:
        return False
    _announce_change(name, stamp=row[0])
    return True


def increment_value(name: str, delta: int) -> int | None:
    """Add to a whole number. Return the sum, or None if there is no whole number under the name."""
    row = _write(sql.COUNT_VALUE, name, delta=delta)
    if row is None:
        return None
    total, stamp = row
    _announce_change(name, stamp)
    return int(total)


def delete_value(name: str) -> bool:
    """Delete the value. Return whether it existed and had not expired."""
    row = _write(sql.DELETE_VALUE, name)
    if row is None:
        return False
    stamp, was_alive = row
    _announce_change(name, stamp)
    return bool(was_alive)


def clear_values() -> int:
    """Delete all values. Return their number."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.CLEAR_VALUES)
        deleted = int(cursor.rowcount)
        VALUES.announce_clear(stamp_now())
    return deleted


def make_room(max_entries: int, frequency: int) -> None:
    """Delete values if `max_entries` or more exist: one of `frequency`, those that end soonest; all of them if it is 0.

    The values are counted only as often as this process could have filled half of the room that was left, because other
    processes write too.
    """
    room = _room()
    if room.used < room.free.get(max_entries, 0):
        return
    count = CacheValue.objects.count()
    if count >= max_entries:
        count -= _cull(max(1, count // frequency)) if frequency else clear_values()
    room.used = 0
    room.free[max_entries] = max(1, (max_entries - count) // 2)


def _cull(count: int) -> int:
    """Delete this many values, those that end soonest. Return how many were deleted."""
    with connection.cursor() as cursor:
        cursor.execute(sql.CULL_VALUES, {"many": count})
        culled = cursor.fetchall()
    if culled:
        VALUES.announce(dict.fromkeys(name for name, _ in culled), max(stamp for _, stamp in culled))
    return len(culled)


def _write(
    statement: str,
    name: str,
    *,
    timeout_seconds: float | None = None,
    data: str | None = None,
    delta: int | None = None,
) -> tuple[Any, ...] | None:
    """Run a statement for one value. Return its row, or None.

    A connection that broke since it was last used is replaced if the statement may run twice.
    """
    params = {"key": name, "timeout": timeout_seconds, "data": data, "delta": delta}
    try:
        return _execute(statement, params)
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block or statement not in REPEATABLE:
            raise
        connection.close()
        return _execute(statement, params)


def _execute(statement: str, params: dict[str, Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def _announce_change(name: str, stamp: int) -> None:
    VALUES.announce({name: None}, stamp)


def _record(data: bytes, stamp: Any, ends_at: Any) -> Record:
    """Return the record of a row. stamp, ends_at: as values or as PostgreSQL writes them."""
    return Record(data, int(stamp), 0, 0.0, float("inf"), float(ends_at), float(ends_at))


def read_stored(name: str) -> Record | None:
    """Return the record of a value from the table, or None if there is no such value."""
    row = read_row(sql.READ_VALUE, name)
    return _record(*row) if row else None


VALUES = TieredStore("values", read_stored, kind="value")
