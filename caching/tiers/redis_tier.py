"""The second tier: what any process read or wrote lately, in Redis, for a minute at most.

A value is written only over an older one, by its stamp, so that a slow reader never puts back what a writer replaced. A
deleted one leaves its stamp for a while, to the same end.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import orjson
import redis

from caching.tiers.invalidation import Link
from caching.tiers.records import Corrupt, Record, pack, stamped, unpack
from core.redis import client, get, key

LIFE_SECONDS = 60.0  # so that an announcement that died with its process is made up for
MARK_SECONDS = 10.0  # longer than any reader takes from its query to its write
AT_ONCE = 500  # keys per message and pipeline, which has to end within the time-out

# KEYS: the value's, that of the last clear. ARGV: stamp, value, life in ms.
SET_NEWER = """
local cleared = redis.call('GET', KEYS[2])
if cleared and cleared >= ARGV[1] then return 0 end
local kept = redis.call('GETRANGE', KEYS[1], 0, 15)
if kept ~= '' and kept > ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1"""


class Shared:
    """Of one space of keys. Without Redis it holds nothing; nothing here raises redis.RedisError but `resend`."""

    def __init__(self, space: str, link: Link) -> None:
        self._space, self._link = space, link

    def get(self, name: str) -> Record | None:
        """Raises Corrupt; what was corrupt is gone then."""
        if not self._link.is_up:
            return None
        at = self._at(name)
        try:
            frame = get(at)
        except redis.RedisError:
            self._link.failed()
            return None
        self._link.worked()
        if frame is None:
            return None
        try:
            return unpack(frame)
        except Corrupt:
            self._carry_out(lambda: client().unlink(at))
            raise

    def put(self, name: str, record: Record, now: float) -> None:
        """What was read from the table."""
        if self._link.is_up:
            self._carry_out(lambda: self._put(client(), name, record, now))

    def announce(self, changed: Mapping[str, Record | None], stamp: int, now: float) -> None:
        """Keep what was written, drop (None) what changed otherwise up to `stamp`, and tell every process."""

        def send() -> None:
            for some in _batches(changed):
                with client().pipeline(transaction=False) as batch:
                    for name in some:
                        if record := changed[name]:
                            self._put(batch, name, record, now)
                        else:
                            self._set(batch, name, stamp, stamped(stamp), MARK_SECONDS)
                    self._tell(batch, some)
                    batch.execute()

        self._announce(send, list(changed))

    def announce_clear(self, stamp: int) -> None:
        """Whatever was written up to `stamp` is gone."""

        def send() -> None:
            client().set(self._cleared, stamped(stamp), px=_milliseconds(LIFE_SECONDS))
            self.resend([])

        self._announce(send, [])

    def resend(self, keys: Sequence[str]) -> None:
        """Drop them here (none: all) and tell every process. Raises redis.RedisError."""
        self._unlink(keys)
        self._tell(client(), keys)

    def drop(self, keys: Sequence[str]) -> None:
        """Of what somebody changed who took Redis for another run of it."""
        self._carry_out(lambda: self._unlink(keys))

    def _unlink(self, keys: Sequence[str]) -> None:
        names = map(self._at, keys) if keys else client().scan_iter(_literally(self._at("")) + "*", count=AT_ONCE)
        for some in _batches(names):
            client().unlink(*some)

    def _announce(self, send: Callable[[], None], keys: Sequence[str]) -> None:
        if not (self._link.wait() and self._carry_out(send)):
            self._link.unsent(self._space, keys)

    def _carry_out(self, send: Callable[[], object]) -> bool:
        try:
            send()
        except redis.RedisError:
            self._link.failed()
            return False
        self._link.worked()
        return True

    def _put(self, to: "redis.Redis", name: str, record: Record, now: float) -> None:
        life = min(LIFE_SECONDS, record.gone_at - now)
        if life > 0:
            self._set(to, name, record.stamp, pack(record), life)

    def _set(self, to: "redis.Redis", name: str, stamp: int, value: bytes, life: float) -> None:
        to.eval(SET_NEWER, 2, self._at(name), self._cleared, stamped(stamp), value, _milliseconds(life))

    def _tell(self, to: "redis.Redis", keys: Sequence[str]) -> None:
        for some in _batches(keys) if keys else [[]]:
            to.publish(key("derived"), orjson.dumps([self._space, some, self._link.run]))

    def _at(self, name: str) -> str:
        return key(f"derived:{self._space}:{self._link.run}:{name}")

    @property
    def _cleared(self) -> str:
        return key(f"derived-cleared:{self._space}")


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    left = iter(names)
    return iter(lambda: list(islice(left, AT_ONCE)), [])


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _literally(text: str) -> str:
    """As a pattern that matches just this text."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
