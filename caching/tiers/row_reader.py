"""One row by its key, the shortest way: prepared, and by libpq's own call; a third of what Django's cursor takes.

A statement is prepared under a name made from its text, so behind a pooler any server connection that has the name has
this statement; one that has not gets it. Where an error would end a transaction it goes unprepared.
"""

import hashlib
import time
from functools import cache

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from caching.tiers import database_clock


def read_row(statement: str, *values: str) -> list[bytes] | None:
    """The columns as PostgreSQL writes them (NULL as nothing) but for the last one, which is its time and what `clock`
    learns from; or None. The values stand for $1, $2, ... Raises DatabaseError.
    """
    asked_at = time.monotonic()
    row = _read(statement, *values)
    if row is None:
        return None
    database_clock.learn(float(row[-1]), asked_at)
    return row[:-1]


def _read(statement: str, *values: str) -> list[bytes] | None:
    """A connection that broke since it was last used is replaced, but for one in a transaction."""
    own = connections[DEFAULT_DB_ALIAS]
    own.close_if_health_check_failed()
    own.ensure_connection()
    libpq = own.connection.pgconn
    try:
        known = vars(own.connection).setdefault("_slipway_prepared", set())
        result = _ask(libpq, known, statement, [value.encode() for value in values])
    except psycopg.Error:  # no connection to the server
        result = None
    if result is not None and result.status == ExecStatus.TUPLES_OK:
        return [result.get_value(0, i) or b"" for i in range(result.nfields)] if result.ntuples else None
    if libpq.status != ConnStatus.OK and not own.in_atomic_block:
        own.close()
    with own.cursor() as cursor:  # which says what is wrong, if anything still is
        cursor.execute(_with_marks(statement), values)
        row = cursor.fetchone()
    return row and [b"" if value is None else str(value).encode() for value in row]


def _ask(libpq: PGconn, known: set[bytes], statement: str, values: list[bytes]) -> PGresult:
    text, name = _prepared(statement)
    if libpq.transaction_status != TransactionStatus.IDLE:
        return libpq.exec_params(text, values)
    if name not in known:
        libpq.prepare(name, text)  # of which an error is none: behind a pooler the server may know the name already
        known.add(name)
    result = libpq.exec_prepared(name, values)
    if result.status == ExecStatus.TUPLES_OK:
        return result
    libpq.prepare(name, text)
    return libpq.exec_params(text, values)


@cache
def _prepared(statement: str) -> tuple[bytes, bytes]:
    text = statement.encode()
    return text, b"slipway_" + hashlib.sha256(text).hexdigest()[:16].encode()


def _with_marks(statement: str) -> str:
    for number in range(1, statement.count("$") + 1):
        statement = statement.replace(f"${number}", "%s")
    return statement
