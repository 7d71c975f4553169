"""Connections to Redis: short time-outs and no retries, because Slipway works without Redis too."""

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

from core.process.per_process import PerProcess

TIMEOUT_SECONDS = 0.05
PATIENT_SECONDS = 2.0
CONNECTIONS = 8


@cache
def client(timeout_seconds: float = TIMEOUT_SECONDS) -> "redis.Redis":
    """Return the client that all threads share. Its pool opens new connections after a fork.

    timeout_seconds: if Redis does not answer, each use raises redis.RedisError within this time. PATIENT_SECONDS is
        for processes that no request waits for, such as the control loop.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
    )


def listening_client() -> "redis.Redis":
    """Return a client for a subscription. Its time-out of 2 s allows a pause between two messages.

    CLIENT LIST shows the process of the connection as `slipway-listens-PID`.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=2,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 0),
        client_name=f"slipway-listens-{os.getpid()}",
    )


def asynchronous_client() -> "redis.asyncio.Redis":
    """Return a client for an event loop, whose tasks share CONNECTIONS (8) connections.

    Its time-outs are 1 s, because an event loop may be busy for longer than a thread.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        max_connections=CONNECTIONS,
        timeout=1,
        socket_timeout=1,
        socket_connect_timeout=1,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)


# The attributes `connection` and `pool` of each thread. A fork starts with none of its parent's connections.
_thread_state = PerProcess(threading.local)


def read_value(name: str) -> bytes | None:
    """Return the value of a key, None if it does not exist. Raises redis.RedisError.

    The GET runs on a connection that belongs to this thread, which takes two thirds of the client's time.
    """
    state, pool = _thread_state(), client().connection_pool
    if getattr(state, "pool", None) is not pool:
        # A connection taken out of the pool would never be returned to it.
        state.connection, state.pool = pool.connection_class(**pool.connection_kwargs), pool
    connection = state.connection
    try:
        connection.send_command("GET", name)
        return cast("bytes | None", connection.read_response())
    except BaseException:
        connection.disconnect()  # else the next call would read this call's answer
        raise


def key(name: str) -> str:
    """Return the name with the prefix of this installation's keys."""
    return f"{settings.REDIS_PREFIX}{name}"
