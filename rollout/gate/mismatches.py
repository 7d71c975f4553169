"""What control and the candidate answered where they differed: the newest few, short and without secrets."""

from contextlib import suppress
from typing import Any

import orjson
import redis

from core.redaction import redact
from core.redis import client, key

KEPT, LONGEST = 100, 500  # mismatches of a rollout; characters of a value
LIFE_SECONDS = 7 * 86400


def keep(rollout: str, expected: Any, found: Any) -> None:
    """Without Redis it is not kept; it is counted all the same."""
    at, said = key(f"mismatches:{rollout}"), orjson.dumps([_short(expected), _short(found)])
    with suppress(redis.RedisError), client().pipeline(transaction=False) as batch:
        batch.lpush(at, said)
        batch.ltrim(at, 0, KEPT - 1)
        batch.expire(at, LIFE_SECONDS)
        batch.execute()


def kept(rollout: str) -> list[tuple[str, str]]:
    """What control said, and what the candidate said; the newest first. Raises redis.RedisError."""
    found: list[bytes] = client().lrange(key(f"mismatches:{rollout}"), 0, -1)  # type: ignore[assignment]
    return [(expected, said) for expected, said in map(orjson.loads, found)]


def _short(value: Any) -> str:
    text = redact(repr(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
