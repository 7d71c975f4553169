"""The one way to Redis: short time-outs, no retries, since everything can do without it."""

from functools import cache

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


def key(name: str) -> str:
    return f"{settings.REDIS_PREFIX}{name}"
