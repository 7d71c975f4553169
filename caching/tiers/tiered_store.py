"""Three tiers behind one look-up: this process (L1), Redis (L2), and PostgreSQL (L3), which is the truth.

What L1 and L2 hold is dropped by whoever writes the key, in every process; checked again after a minute all the same;
and, while this process cannot hear of writes, after a second. Inside a transaction that wrote something, its reads come
from PostgreSQL, and nobody else sees what is not committed.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction

from caching.choices import State, Tier
from caching.tiers import database_clock
from caching.tiers.hit_counter import Hits
from caching.tiers.invalidation import Link, own_link
from caching.tiers.memory import Kept, Memory
from caching.tiers.records import Corrupt, Found, Record
from caching.tiers.redis_tier import Shared

CHECK_SECONDS = 60.0
DEAF_SECONDS = 1.0
UNCHECKED_SECONDS = 600.0  # past its check, while PostgreSQL does not answer
NOTHING = Record(b"", 0)
hits = Hits()


class Store:
    """name: of the space of keys. read: the row of a key, from the table. kind: what look-ups are counted as; the key's
    first part where nothing is said.
    """

    def __init__(
        self, name: str, read: Callable[[str], Record | None], kind: str = "", link: Link | None = None
    ) -> None:
        self.memory = Memory()
        self._read, self._kind, self._link = read, kind, link or own_link()
        self._shared = Shared(name, self._link)
        self._thread = threading.local()
        self._link.serve(name, self)
        os.register_at_fork(after_in_child=self._begin_again)

    def get(self, key: str) -> Found:
        """What is stored under the key, its state and the tier that had it. Raises django.db.Error where only
        PostgreSQL could tell and does not answer.
        """
        now = database_clock.now()
        kept = self.memory.get(key)
        if kept is None or now >= kept.check_at or self._is_writing():
            return self._ask(key, kept, now)
        return self._found(key, kept.record, Tier.L1, now)

    def held(self, key: str) -> dict[Tier, Record]:
        """What L1 and L2 hold of it, for whoever compares them: nothing is counted, kept or asked of PostgreSQL."""
        kept = self.memory.get(key)
        shared = self._ask_shared(key)
        found = {Tier.L1: kept.record if kept else None, Tier.L2: shared}
        return {tier: record for tier, record in found.items() if record is not None}

    def announce(self, changed: Mapping[str, Record | None], stamp: int = 0) -> None:
        """Once the transaction is committed: have what was written (None: deleted or changed otherwise, up to `stamp`)
        take the place of what the tiers hold.
        """
        self._on_commit(partial(self._announce, changed, stamp))

    def announce_clear(self, stamp: int) -> None:
        """Once the transaction is committed: all values up to the stamp are gone."""
        self._on_commit(partial(self._announce, None, stamp))

    def told(self, keys: Sequence[str], run: str) -> None:
        if run != self._link.run:
            self._shared.drop(keys)
        for key in keys:
            self.memory.drop(key)
        if not keys:
            self.memory.clear()

    def lost(self) -> None:
        self.memory.clear()

    def resend(self, keys: Sequence[str]) -> None:
        self._shared.resend(keys)

    def _ask(self, key: str, kept: Kept | None, now: float) -> Found:
        mark, is_writing = self.memory.mark(key), self._is_writing()
        check_seconds = CHECK_SECONDS if self._link.run else DEAF_SECONDS  # as it was before the reading
        record = None if is_writing else self._ask_shared(key)
        if record is not None and record.state(now) is not State.MISSING:
            self.memory.put(key, record, now + check_seconds, mark)
            return self._found(key, record, Tier.L2, now)
        try:
            record = self._read(key)
        except Error:
            if kept is None or is_writing or now > kept.check_at + UNCHECKED_SECONDS:
                raise
            return self._found(key, kept.record, Tier.L1, now)  # unchecked is better than no answer
        now = database_clock.now()  # of which the table just told
        if is_writing:
            return self._found(key, record or NOTHING, Tier.L3, now)
        if record is None:
            self.memory.drop(key)
            return self._found(key, NOTHING, Tier.MISS, now)
        self._shared.put(key, record, now)
        self.memory.put(key, record, now + check_seconds, mark)
        return self._found(key, record, Tier.L3, now)

    def _ask_shared(self, key: str) -> Record | None:
        try:
            return self._shared.get(key)
        except Corrupt:
            hits.count(self._kind or key.partition(":")[0], Tier.CORRUPT)
            return None

    def _found(self, key: str, record: Record, tier: Tier, now: float) -> Found:
        state = record.state(now) if record.data else State.MISSING
        row = record.row
        if state is State.MISSING:
            tier, row = Tier.MISS, 0
        hits.count(self._kind or key.partition(":")[0], tier, row)
        return Found(state, tier, record, now - record.made_at, now >= record.due_at)

    def _begin_again(self) -> None:
        """In a fork, which heard nothing of what the parent was told."""
        self.memory = Memory()

    def _on_commit(self, announce: "partial[None]") -> None:
        self._thread.writes = True
        transaction.on_commit(announce)

    def _is_writing(self) -> bool:
        """Whether this thread's transaction announced something and is not committed yet; a rollback forgets it."""
        if getattr(self._thread, "writes", False):
            waiting = connections[DEFAULT_DB_ALIAS].run_on_commit
            self._thread.writes = any(getattr(call[1], "func", None) == self._announce for call in waiting)
            return bool(self._thread.writes)
        return False

    def _announce(self, changed: Mapping[str, Record | None] | None, stamp: int) -> None:
        if changed is None:
            self._shared.announce_clear(stamp)
            self.memory.clear()
        elif changed:
            self._shared.announce(changed, stamp, database_clock.now())
            self.told(list(changed), self._link.run)
