"""How far each process's clock is ahead of Redis's, as each tells Redis now and then; for whoever compares clocks."""

import os
import socket
import time

from core.redis import client, key

FORGOTTEN_SECONDS = 60


def tell() -> None:
    """Raises redis.RedisError."""
    ahead, now = measured()
    client().hset(key("clocks"), f"{socket.gethostname()}:{os.getpid()}", f"{ahead:.3f} {now:.0f}")


def measured() -> tuple[float, float]:
    """Seconds that this clock is ahead of Redis's, and Redis's time. Raises redis.RedisError."""
    asked = time.time()
    seconds, micros = client().time()
    now = seconds + micros / 1e6
    return (asked + time.time()) / 2 - now, now


def told() -> dict[str, float]:
    """Seconds ahead, by process, of those that told within a minute. Raises redis.RedisError."""
    _, now = measured()
    found: dict[bytes, bytes] = client().hgetall(key("clocks"))  # type: ignore[assignment]
    clocks = {name: said.split() for name, said in found.items()}
    if gone := [name for name, (_, at) in clocks.items() if now - float(at) > FORGOTTEN_SECONDS]:
        client().hdel(key("clocks"), *gone)
    return {name.decode(): float(ahead) for name, (ahead, _) in clocks.items() if name not in gone}
