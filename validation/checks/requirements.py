"""What checks can do nothing without."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from core.health_checks import Skipped


@contextmanager
def needing_redis() -> Iterator[None]:
    """Without Redis there is nothing to look at, which `beat_alive` fails for."""
    try:
        yield
    except redis.RedisError as error:
        raise Skipped(f"Redis does not answer: {type(error).__name__}", "start it, and check REDIS_URL") from error
