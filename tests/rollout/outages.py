"""Outages of the servers, and locks of other sessions, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from pytest_django import Settings

from core.redis import client
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
def locked_row(table: str, **key: int) -> Iterator[None]:
    """Lock one row of the table, in another session.

    key: the column that names the row, and its value.
    """
    [(column, value)] = key.items()
    with psycopg.connect(databases.address()) as other:
        other.execute(f"SELECT FROM {table} WHERE {column} = %s FOR UPDATE", [value])
        yield
        other.rollback()
