"""The clock skew of each process: each one publishes now and then how far its clock is ahead of Redis's clock."""

import os
import socket
import time

from core.redis import client, key

KEPT_SECONDS = 60  # a process that published nothing for longer is removed


def publish_skew() -> None:
    """Publish how far this process's clock is ahead of Redis's. Raises redis.RedisError."""
    ahead_seconds, redis_time = measure_skew()
    process_name = f"{socket.gethostname()}:{os.getpid()}"
    client().hset(key("clocks"), process_name, f"{ahead_seconds:.3f} {redis_time:.0f}")


def measure_skew() -> tuple[float, float]:
    """Return the seconds that this process's clock is ahead of Redis's, and Redis's time. Raises redis.RedisError.

    Redis's time is compared with the middle of the round trip.
    """
    asked_at = time.time()
    seconds, microseconds = client().time()
    redis_time = seconds + microseconds / 1e6
    return (asked_at + time.time()) / 2 - redis_time, redis_time


def skew_by_process() -> dict[str, float]:
    """Return the seconds that each process's clock is ahead of Redis's, by `host:pid`. Raises redis.RedisError.

    Processes that published nothing in the last minute are left out and removed from Redis.
    """
    _, redis_time = measure_skew()
    stored: dict[bytes, bytes] = client().hgetall(key("clocks"))  # type: ignore[assignment]
    skews: dict[str, float] = {}
    expired: list[bytes] = []
    for process_name, value in stored.items():
        ahead_seconds, published_at = map(float, value.split())
        if redis_time - published_at > KEPT_SECONDS:
            expired.append(process_name)
        else:
            skews[process_name.decode()] = ahead_seconds
    if expired:
        client().hdel(key("clocks"), *expired)
    return skews
