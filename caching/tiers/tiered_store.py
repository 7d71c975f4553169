"""Three tiers behind one look-up: this process (L1), Redis (L2), and PostgreSQL (L3), which is the source of truth.

A writer drops the key from L1 and L2, in every process. A value in L1 is also checked again after a minute, or after a
second while this process does not receive the announcements of other writers. The reads of a transaction that wrote
something come from PostgreSQL, and no other reader sees what is not committed.
"""

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from django.db import Error, transaction

from caching.choices import Tier, ValueState
from caching.tiers import database_clock
from caching.tiers.hit_counter import hits
from caching.tiers.memory import Kept, MemoryTier
from caching.tiers.records import Corrupt, Lookup, Record
from caching.tiers.redis_tier import RedisTier
from caching.tiers.subscription import CHANNEL, Channel, Subscription
from core.process.per_process import PerProcess

CHECK_SECONDS = 60.0
UNSUBSCRIBED_CHECK_SECONDS = 1.0
UNCHECKED_SECONDS = 600.0  # how long a value is served past its check while PostgreSQL does not answer
NOTHING = Record(b"", 0)


class Waiting(threading.local):
    """A thread's announcements that wait for their transaction to commit.

    Django keeps an announcement until it was made, or until its transaction or savepoint was rolled back. A weak
    reference to it lets the set lose it at the same time.
    """

    def __init__(self) -> None:
        self.announcements: set[weakref.ref[partial[None]]] = set()

    def add(self, announcement: "partial[None]") -> None:
        self.announcements.add(weakref.ref(announcement, self.announcements.discard))


class TieredStore:
    """The values of one space of keys, in three tiers.

    name: the name of the space. read: returns the record of a key from the table, or None.
    kind: the kind under which look-ups are counted; if empty, the first part of the key.
    channel: where changes are announced. redis: the second tier.
    """

    def __init__(
        self, name: str, read: Callable[[str], Record | None], kind: str = "", channel: Channel = CHANNEL
    ) -> None:
        self._read, self._kind, self.channel = read, kind, channel
        # A fork begins with an empty memory: it received nothing of what was announced to its parent.
        self._memory = PerProcess(MemoryTier)
        self.redis = RedisTier(name, channel)
        self._waiting = Waiting()
        channel.register(name, self)

    @property
    def memory(self) -> MemoryTier:
        """The first tier of this process."""
        return self._memory()

    @property
    def subscription(self) -> Subscription:
        """The subscription of this process to the changes of the store."""
        return self.channel.subscription

    def get(self, key: str) -> Lookup:
        """Return the value under the key, with its state and the tier that had it.

        Raise django.db.Error if only PostgreSQL could answer, and it does not.
        """
        now = database_clock.now()
        kept = self._memory().get(key)
        if kept is None or now >= kept.check_at or self._is_writing():
            return self._ask_slower_tiers(key, kept, now)
        return self._lookup(key, kept.record, Tier.L1, now)

    def held(self, key: str) -> dict[Tier, Record]:
        """Return what L1 and L2 hold of the key, for a comparison. The look-up is not counted, and changes nothing."""
        kept = self.memory.get(key)
        held = {Tier.L1: kept.record if kept else None, Tier.L2: self._ask_redis(key)}
        return {tier: record for tier, record in held.items() if record is not None}

    def announce(self, changed: Mapping[str, Record | None], stamp: int = 0) -> None:
        """Replace what the tiers hold of the keys, once the current transaction is committed.

        changed: the new record of each key, or None if the key was deleted or its new record is not known.
        stamp: the stamp of the changes without a new record.
        """
        self._on_commit(partial(self._announce, changed, stamp))

    def announce_clear(self, stamp: int) -> None:
        """Drop all values up to the stamp from the tiers, once the current transaction is committed."""
        self._on_commit(partial(self._announce_clear, stamp))

    def on_changed(self, keys: Sequence[str], run_id: str) -> None:
        """Drop the keys that a writer changed. run_id: the Redis run whose values the writer used."""
        if run_id != self.subscription.run_id:
            self.redis.drop(keys)
        for key in keys:
            self.memory.drop(key)
        if not keys:
            self.memory.clear()

    def on_missed(self) -> None:
        """Drop everything in L1, because changes may have been missed."""
        self.memory.clear()

    def drop_and_announce(self, keys: Sequence[str]) -> None:
        """Drop the keys, or all keys if the list is empty, from Redis, and announce them. Raise redis.RedisError."""
        self.redis.drop_and_announce(keys)

    def _ask_slower_tiers(self, key: str, kept: Kept | None, now: float) -> Lookup:
        memory, is_writing = self.memory, self._is_writing()
        # Both as they are before the value is read: a change during the reading counts.
        generation = memory.generation(key)
        check_seconds = CHECK_SECONDS if self.subscription.run_id else UNSUBSCRIBED_CHECK_SECONDS
        record = None if is_writing else self._ask_redis(key)
        if record is not None and record.state(now) is not ValueState.MISSING:
            memory.put(key, record, now + check_seconds, generation)
            return self._lookup(key, record, Tier.L2, now)
        try:
            record = self._read(key)
        except Error:
            if kept is None or is_writing or now > kept.check_at + UNCHECKED_SECONDS:
                raise
            return self._lookup(key, kept.record, Tier.L1, now)  # an unchecked value is better than no answer
        now = database_clock.now()  # the table's answer adjusted it
        if is_writing:
            return self._lookup(key, record or NOTHING, Tier.L3, now)
        if record is None:
            memory.drop(key)
            return self._lookup(key, NOTHING, Tier.MISS, now)
        self.redis.put(key, record, now)
        memory.put(key, record, now + check_seconds, generation)
        return self._lookup(key, record, Tier.L3, now)

    def _ask_redis(self, key: str) -> Record | None:
        try:
            return self.redis.get(key)
        except Corrupt:
            hits().count(self._kind or key.partition(":")[0], Tier.CORRUPT)
            return None

    def _lookup(self, key: str, record: Record, tier: Tier, now: float) -> Lookup:
        state = record.state(now) if record.data else ValueState.MISSING
        row = record.row
        if state is ValueState.MISSING:
            tier, row = Tier.MISS, 0
        hits().count(self._kind or key.partition(":")[0], tier, row)
        return Lookup(state, tier, record, now - record.made_at, now >= record.due_at)

    def _on_commit(self, announcement: "partial[None]") -> None:
        self._waiting.add(announcement)
        transaction.on_commit(announcement)

    def _is_writing(self) -> bool:
        """Return whether this thread's transaction announced something and is not committed yet."""
        return bool(self._waiting.announcements)

    def _announce(self, changed: Mapping[str, Record | None], stamp: int) -> None:
        if changed:
            self.redis.announce(changed, stamp, database_clock.now())
            self.on_changed(list(changed), self.subscription.run_id)

    def _announce_clear(self, stamp: int) -> None:
        self.redis.announce_clear(stamp)
        self.memory.clear()
