"""Outages of the servers, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from pytest_django import Settings

from core.redis import client


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
