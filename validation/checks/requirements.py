"""The things without which a check has nothing to look at."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from core.health_checks import Skipped


@contextmanager
def skipping_without_redis() -> Iterator[None]:
    """Skip the check if Redis does not answer within the block. The check `beat_alive` fails for that."""
    try:
        yield
    except redis.RedisError as error:
        raise Skipped(f"Redis does not answer: {type(error).__name__}", "start Redis, and check REDIS_URL") from error
