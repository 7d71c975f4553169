"""Have a worker do something now."""

from contextlib import suppress
from typing import Any

import redis
from kombu.exceptions import OperationalError


def wake(task: Any, *args: Any) -> bool:
    """Returns whether the broker has it; without one the task's own schedule finds what waits, where it has one."""
    with suppress(redis.RedisError, OperationalError):
        task.apply_async(args, retry=False, ignore_result=True)
        return True
    return False
