"""Questions about tables, and changes to them, that the ORM cannot express. Table names come quoted."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from rollout.recovery.postgres import sql


def execute(statement: str, params: Any = None) -> None:
    """Run the statement, and ignore its result."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def fetch_rows(statement: str, params: Any = None) -> list[tuple[Any, ...]]:
    """Run the query, and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall())


def fetch_names(statement: str, params: Any = None) -> list[str]:
    """Run a query that gives one name per row, and return the names."""
    return [name for (name,) in fetch_rows(statement, params)]


def copy_in(statement: str, blocks: Iterable[bytes]) -> None:
    """Run a COPY ... FROM STDIN statement with these blocks, which need not end where rows end."""
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in blocks:
            copy.write(block)


def current_schema() -> str:
    """Return the schema that unqualified table names refer to."""
    [name] = fetch_names(sql.CURRENT_SCHEMA)
    return name


def count_rows(table: str) -> int:
    """Return how many rows the table holds."""
    return int(fetch_rows(sql.COUNT_ROWS.format(table=table))[0][0])


def tables_referenced_by(tables: Sequence[str]) -> list[str]:
    """Return the other tables that foreign keys of these tables reference."""
    return fetch_names(sql.REFERENCED_TABLES, {"tables": list(tables)})


def incoming_foreign_keys(table: str) -> list[tuple[str, str, str]]:
    """Return the foreign keys that reference the table: for each its table, its column, and that table's primary key.

    These names come unquoted.
    """
    return [(child, column, key) for child, column, key in fetch_rows(sql.INCOMING_FOREIGN_KEYS, {"table": table})]


def copy_rights(source: str, target: str) -> None:
    """Give the table `target` the owner and the privileges of the table `source`."""
    for (statement,) in fetch_rows(sql.RIGHTS, {"of": source, "to": target}):
        execute(statement)


def highest_number(table: str, key: str) -> int | None:
    """Return the highest number that the table has used for its key. Return None if no sequence numbers it."""
    params = {"table": table, "key": key}
    if not fetch_rows(sql.IS_NUMBERED, params)[0][0]:
        return None
    return int(fetch_rows(sql.HIGHEST_NUMBER.format(table=table, key=sql.quoted(key)), params)[0][0])


def continue_numbering(table: str, key: str, highest: int | None) -> None:
    """Let the table's sequence continue after `highest`. If it is None, change nothing."""
    if highest is not None:
        params = {"table": table, "key": key, "highest": max(1, highest), "is_used": highest > 0}
        execute(sql.SET_HIGHEST_NUMBER, params)
