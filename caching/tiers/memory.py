"""The first tier: the values that this process read lately, limited by their size; the least recently used go first."""

import threading
from collections import OrderedDict
from typing import NamedTuple

from caching.tiers.records import Record

CAPACITY_BYTES = 32 * 1024 * 1024
OVERHEAD_BYTES = 400  # the record's own Python objects, besides key and data
LARGEST_SHARE = 1 / 16  # of the capacity; a larger record would push out too many others
GENERATIONS = 1024


class Kept(NamedTuple):
    """A record in memory, and the time from which the next tier is asked again."""

    record: Record
    check_at: float


class MemoryTier:
    """The first tier of one store. Thread-safe.

    A reader takes the key's `generation` before it asks a slower tier. The value that it read is kept only if the
    generation is still the same: then the key was not dropped in between.

    capacity_bytes: with 0, nothing is kept.
    """

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self.capacity_bytes = capacity_bytes
        self.size_bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        # Keys share generations: at worst, dropping one key makes the reader of another key read again.
        self._generations = [0] * GENERATIONS
        self._clears = 0

    def get(self, key: str) -> Kept | None:
        """Return what is kept of the key, and count it as used."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
            return kept

    def generation(self, key: str) -> int:
        """Return a number that grows each time the key is dropped."""
        return self._clears + self._generations[hash(key) % GENERATIONS]

    def put(self, key: str, record: Record, check_at: float, generation: int) -> None:
        """Keep the record until `check_at`, if it is not too large and the key's generation is still this one."""
        size = _size(key, record)
        with self._lock:
            if generation != self.generation(key) or size > self.capacity_bytes * LARGEST_SHARE:
                return
            self._remove(key)
            self._kept[key] = Kept(record, check_at)
            self.size_bytes += size
            while self.size_bytes > self.capacity_bytes:
                self._remove(next(iter(self._kept)))

    def drop(self, key: str) -> None:
        """Forget the key, and keep nothing of it that a reader read before."""
        with self._lock:
            self._generations[hash(key) % GENERATIONS] += 1
            self._remove(key)

    def clear(self) -> None:
        """Forget all keys, and keep nothing that a reader read before."""
        with self._lock:
            self._clears += 1
            self._kept.clear()
            self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def _remove(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size_bytes -= _size(key, kept.record)


def _size(key: str, record: Record) -> int:
    return len(key) + len(record.data) + OVERHEAD_BYTES
