"""The second tier: the values that any process read or wrote lately, in Redis, for a minute at most.

A value is never written over a newer one, by its stamp, so that a slow reader never puts back what a writer replaced. A
deleted value leaves its stamp for a while, for the same reason.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
import redis

from caching.tiers.records import Corrupt, Record, pack, stamped, unpack
from caching.tiers.subscription import Channel
from core.chunks import chunks
from core.redis import client, read_value
from core.redis import key as prefixed

LIFE_SECONDS = 60.0  # an outdated value lives at most this long if a process dies before it announces its change
STAMP_LIFE_SECONDS = 10.0  # of a deleted value's stamp; longer than any reader takes from its query to its write
CHUNK_KEYS = 500  # per message and pipeline, which has to end within the time-out

# KEYS: the value's key, and the key that holds the stamp of the last clear. ARGV: stamp, value, life in ms.
SET_NEWER = """
local cleared = redis.call('GET', KEYS[2])
if cleared and cleared >= ARGV[1] then return 0 end
local kept = redis.call('GETRANGE', KEYS[1], 0, 15)
if kept ~= '' and kept > ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1"""


class RedisTier:
    """The second tier of one space of keys.

    If Redis does not answer, the tier is empty. No method but `drop_and_announce` raises redis.RedisError.
    """

    def __init__(self, space: str, channel: Channel) -> None:
        self._space, self._channel = space, channel

    def get(self, key: str) -> Record | None:
        """Return the record, or None if there is none. Raise Corrupt if it is damaged; it is dropped then."""
        subscription = self._channel.subscription
        if not subscription.is_up:
            return None
        redis_key = self._redis_key(key)
        try:
            frame = read_value(redis_key)
        except redis.RedisError:
            subscription.count_failure()
            return None
        subscription.reset_failures()
        if frame is None:
            return None
        try:
            return unpack(frame)
        except Corrupt:
            self._try(lambda: client().unlink(redis_key))
            raise

    def put(self, key: str, record: Record, now: float) -> None:
        """Keep a record that was read from the table. now: by the database's clock."""
        if self._channel.subscription.is_up:
            self._try(lambda: self._put(client(), key, record, now))

    def announce(self, changed: Mapping[str, Record | None], stamp: int, now: float) -> None:
        """Keep the written records, drop the other changed keys, and announce all of them to every process.

        changed: the new record of each key, or None if the key was deleted or its new record is not known.
        stamp: the stamp of the changes without a new record.
        """

        def send() -> None:
            for chunk in chunks(changed, CHUNK_KEYS):
                with client().pipeline(transaction=False) as pipeline:
                    for key in chunk:
                        record = changed[key]
                        if record is not None:
                            self._put(pipeline, key, record, now)
                        else:
                            self._set_newer(pipeline, key, stamp, stamped(stamp), STAMP_LIFE_SECONDS)
                    self._publish(pipeline, chunk)
                    pipeline.execute()

        self._send_or_keep(send, list(changed))

    def announce_clear(self, stamp: int) -> None:
        """Drop all values, in Redis and in every process.

        stamp: values up to this stamp are not written to Redis again.
        """

        def send() -> None:
            client().set(self._clear_stamp_key, stamped(stamp), px=_milliseconds(LIFE_SECONDS))
            self.drop_and_announce([])

        self._send_or_keep(send, [])

    def drop_and_announce(self, keys: Sequence[str]) -> None:
        """Drop the keys, or all keys if the list is empty, in Redis and in every process. Raise redis.RedisError."""
        self._unlink(keys)
        self._publish(client(), keys)

    def drop(self, keys: Sequence[str]) -> None:
        """Drop from Redis the keys that a process changed while it used another run of the Redis server."""
        self._try(lambda: self._unlink(keys))

    def _unlink(self, keys: Sequence[str]) -> None:
        redis_keys: Iterable[Any]
        if keys:
            redis_keys = map(self._redis_key, keys)
        else:
            redis_keys = client().scan_iter(_escape_pattern(self._redis_key("")) + "*", count=CHUNK_KEYS)
        for chunk in chunks(redis_keys, CHUNK_KEYS):
            client().unlink(*chunk)

    def _send_or_keep(self, send: Callable[[], None], keys: Sequence[str]) -> None:
        subscription = self._channel.subscription
        if not (subscription.wait_until_up() and self._try(send)):
            subscription.keep_unsent(self._space, keys)

    def _try(self, send: Callable[[], object]) -> bool:
        """Call `send`. Return whether Redis answered."""
        try:
            send()
        except redis.RedisError:
            self._channel.subscription.count_failure()
            return False
        self._channel.subscription.reset_failures()
        return True

    def _put(self, connection: "redis.Redis", key: str, record: Record, now: float) -> None:
        life_seconds = min(LIFE_SECONDS, record.gone_at - now)
        if life_seconds > 0:
            self._set_newer(connection, key, record.stamp, pack(record), life_seconds)

    def _set_newer(self, connection: "redis.Redis", key: str, stamp: int, value: bytes, life_seconds: float) -> None:
        life_ms = _milliseconds(life_seconds)
        connection.eval(SET_NEWER, 2, self._redis_key(key), self._clear_stamp_key, stamped(stamp), value, life_ms)

    def _publish(self, connection: "redis.Redis", keys: Sequence[str]) -> None:
        run_id = self._channel.subscription.run_id
        for chunk in chunks(keys, CHUNK_KEYS) if keys else [[]]:
            connection.publish(prefixed("derived"), orjson.dumps([self._space, chunk, run_id]))

    def _redis_key(self, key: str) -> str:
        return prefixed(f"derived:{self._space}:{self._channel.subscription.run_id}:{key}")

    @property
    def _clear_stamp_key(self) -> str:
        return prefixed(f"derived-cleared:{self._space}")


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _escape_pattern(text: str) -> str:
    """Return the pattern for SCAN that matches only this text."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
