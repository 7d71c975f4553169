"""Outages of the servers, and locks of other sessions, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from pytest_django import Settings

from core.redis import client, key
from tests import databases


@contextmanager
def no_redis(settings: Settings) -> Iterator[None]:
    """Let every use of Redis fail inside the block."""
    redis_url, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    client.cache_clear()
    try:
        yield
    finally:
        settings.REDIS_URL = redis_url
        client.cache_clear()


@contextmanager
def locked(*tables: str) -> Iterator[None]:
    """Lock the tables as a migration does, in another session."""
    with psycopg.connect(databases.address()) as other:
        other.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


@contextmanager
def locked_row(table: str, **column_value: int) -> Iterator[None]:
    """Lock one row of the table, in another session.

    column_value: the column that names the row, and its value.
    """
    [(column, value)] = column_value.items()
    with psycopg.connect(databases.address()) as other:
        other.execute(f"SELECT FROM {table} WHERE {column} = %s FOR UPDATE", [value])
        yield
        other.rollback()


def lose_redis_data() -> None:
    """Delete every key of this test process, as a restart of Redis without its file does. Other processes test too."""
    for name in list(client().scan_iter(key("*"), count=1000)):
        client().delete(name)
