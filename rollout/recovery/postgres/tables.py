"""What recovery asks of a table, and does to one, beyond the ORM. Names come quoted."""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from rollout.recovery.postgres import sql


def execute(statement: str, params: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def rows_of(statement: str, params: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall())


def names(statement: str, params: Any = None) -> list[str]:
    """The rows of a statement that gives one name each."""
    return [name for (name,) in rows_of(statement, params)]


def led_to(tables: Sequence[str]) -> list[str]:
    """Those that their foreign keys lead to."""
    return names(sql.LED_TO, {"tables": list(tables)})


def home() -> str:
    """The schema that tables lie in."""
    [found] = names("SELECT current_schema()")
    return found


def count(table: str) -> int:
    return int(rows_of(f"SELECT count(*) FROM {table}")[0][0])


def copy_rights(of: str, to: str) -> None:
    """Owner and grants."""
    for (statement,) in rows_of(sql.RIGHTS, {"of": of, "to": to}):
        execute(statement)


def numbered(table: str, key: str) -> int | None:
    """The highest number that it ever gave; None where it numbers nothing."""
    if not rows_of(sql.IS_NUMBERED, {"table": table, "key": key})[0][0]:
        return None
    named = {"table": table, "key": sql.quoted(key)}
    return int(rows_of(sql.NUMBERED.format(**named), {"table": table, "key": key})[0][0])


def number_from(table: str, key: str, highest: int | None) -> None:
    """Have it go on behind that number."""
    if highest is not None:
        execute(sql.NUMBER_FROM, {"table": table, "key": key, "highest": max(1, highest), "is_used": highest > 0})


def leading_to(table: str) -> Sequence[tuple[str, str, str]]:
    """The foreign keys that lead to it: whose they are, their column, and that table's own key."""
    return [(child, column, key) for child, column, key in rows_of(sql.LEADING_TO, {"table": table})]
