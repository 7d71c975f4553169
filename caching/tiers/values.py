"""The values of the Django cache backend, in their table."""

from dataclasses import dataclass, field
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction

from caching import sql
from caching.models import CacheValue
from caching.tiers.records import Found, Record
from caching.tiers.row_reader import read_row
from caching.tiers.tiered_store import Store

TWICE = (sql.PUT_VALUE, sql.TOUCH_VALUE, sql.DELETE_VALUE)


@dataclass(slots=True)
class Room:
    """New values since they were counted, and how many there may be before they are counted again, per maximum."""

    used: int = 0
    free: dict[int, int] = field(default_factory=dict)


_room = Room()


def get(name: str) -> Found:
    return VALUES.get(name)


def put(name: str, data: bytes, timeout_seconds: float | None, *, only_new: bool = False) -> bool:
    """Returns whether it was written: not, where a value was there and `only_new` kept it."""
    written = _write(sql.ADD_VALUE if only_new else sql.PUT_VALUE, name, timeout_seconds, data=data.decode())
    if written is None:
        return False
    is_new, *columns = written
    _room.used += bool(is_new)
    VALUES.announce({name: _record(data, *columns)})
    return True


def touch(name: str, timeout_seconds: float | None) -> bool:
    """Returns whether the value was there."""
    return _replaced(name, _write(sql.TOUCH_VALUE, name, timeout_seconds))


def count(name: str, delta: int) -> int | None:
    """Add to a whole number. Returns the new one, or None where there was none."""
    counted = _write(sql.COUNT_VALUE, name, None, delta=delta)
    _replaced(name, counted and counted[1:])
    return int(counted[0]) if counted else None


def delete(name: str) -> bool:
    """Returns whether the value was there."""
    deleted = _write(sql.DELETE_VALUE, name, None)
    return _replaced(name, deleted and deleted[:1]) and bool(deleted and deleted[1])


def clear() -> int:
    """Returns how many there were."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.CLEAR_VALUES)
        many = int(cursor.rowcount)
        cursor.execute(sql.NOW_STAMP)
        VALUES.announce_clear(cursor.fetchone()[0])
    return many


def make_room(max_entries: int, frequency: int) -> None:
    """Before a value is written. Where there are as many as there may be: delete one of `frequency`, those that end
    soonest; with 0 all of them.

    They are counted only as often as this process could have filled half of what was left; others write as well.
    """
    if _room.used < _room.free.get(max_entries, 0):
        return
    many = CacheValue.objects.count()
    if many >= max_entries:
        many -= _cull(max(1, many // frequency)) if frequency else clear()
    _room.used, _room.free = 0, _room.free | {max_entries: max(1, (max_entries - many) // 2)}


def _cull(many: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql.CULL_VALUES, {"many": many})
        culled = cursor.fetchall()
    if culled:
        VALUES.announce(dict.fromkeys(name for name, _ in culled), max(stamp for _, stamp in culled))
    return len(culled)


def _write(statement: str, name: str, timeout_seconds: float | None, **params: Any) -> tuple[Any, ...] | None:
    """A connection that broke since it was last used is replaced, where the statement may well run twice."""
    given = {"key": name, "timeout": timeout_seconds} | params
    try:
        return _execute(statement, given)
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block or statement not in TWICE:
            raise
        connection.close()
        return _execute(statement, given)


def _execute(statement: str, given: dict[str, Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


def _replaced(name: str, written: tuple[Any, ...] | None) -> bool:
    if written is None:
        return False
    VALUES.announce({name: None}, written[0])
    return True


def _record(data: bytes, stamp: Any, ends_at: Any) -> Record:
    return Record(data, int(stamp), 0, 0.0, float("inf"), float(ends_at), float(ends_at))


def _read(name: str) -> Record | None:
    found = read_row(sql.READ_VALUE, name)
    return _record(*found) if found else None


VALUES = Store("values", _read, kind="value")
