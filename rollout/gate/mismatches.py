"""The newest answers in which the candidate differed from control, shortened and without secrets."""

from contextlib import suppress
from typing import Any

import orjson
import redis

from core.redaction import redact
from core.redis import client, key

KEPT_AT_MOST = 100  # mismatches of a rollout
LONGEST_VALUE = 500  # characters
LIFE_SECONDS = 7 * 86400


def record_mismatch(rollout: str, control: Any, candidate: Any) -> None:
    """Store the two values that differed. Without Redis they are lost; the mismatch is counted all the same."""
    name, pair = key(f"mismatches:{rollout}"), orjson.dumps([_shorten(control), _shorten(candidate)])
    with suppress(redis.RedisError), client().pipeline(transaction=False) as pipeline:
        pipeline.lpush(name, pair)
        pipeline.ltrim(name, 0, KEPT_AT_MOST - 1)
        pipeline.expire(name, LIFE_SECONDS)
        pipeline.execute()


def read_mismatches(rollout: str) -> list[tuple[str, str]]:
    """Return pairs of control's and the candidate's value, the newest first. Raises redis.RedisError."""
    pairs: list[bytes] = client().lrange(key(f"mismatches:{rollout}"), 0, -1)  # type: ignore[assignment]
    return [(control, candidate) for control, candidate in map(orjson.loads, pairs)]


def _shorten(value: Any) -> str:
    try:
        text = redact(repr(value))
    except Exception as error:  # the value is a caller's, and its repr may fail
        text = f"a {type(value).__name__} whose repr raises {type(error).__name__}"
    text = text.encode(errors="backslashreplace").decode()  # JSON takes no lone surrogate
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
