"""The one way to Redis: short time-outs, no retries, since everything can do without it."""

import os
import threading
from functools import cache
from typing import cast

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_SECONDS = 0.05
CONNECTIONS = 8


@cache
def client() -> "redis.Redis":
    """Raises redis.RedisError on use, within the time-out, while Redis is gone."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def listening_client() -> "redis.Redis":
    """For a subscription: patient enough for a pause between two messages. CLIENT LIST tells whose it is."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=2,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 0),
        client_name=f"slipway-listens-{os.getpid()}",
    )


def asynchronous_client() -> "redis.asyncio.Redis":
    """For an event loop, which may be busy for longer than a thread is. A few connections serve all its tasks."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        max_connections=CONNECTIONS,
        timeout=1,
        socket_timeout=1,
        socket_connect_timeout=1,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)


_own = threading.local()


def get(name: str) -> bytes | None:
    """One GET on a connection of this thread's own, which takes two thirds of the client's time. Raises
    redis.RedisError.
    """
    pool = client().connection_pool
    if getattr(_own, "at", None) != (pool, os.getpid()):
        # Not out of the pool, which would never get it back.
        _own.connection, _own.at = pool.connection_class(**pool.connection_kwargs), (pool, os.getpid())
    try:
        _own.connection.send_command("GET", name)
        return cast("bytes | None", _own.connection.read_response())
    except BaseException:
        _own.connection.disconnect()  # or the next one would read this answer
        raise


def key(name: str) -> str:
    return f"{settings.REDIS_PREFIX}{name}"
