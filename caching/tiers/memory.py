"""The first tier: what this process read lately, by bytes; the least recently used goes first."""

import threading
from collections import OrderedDict
from typing import NamedTuple

from caching.tiers.records import Record

CAPACITY_BYTES = 32 * 1024 * 1024
OVERHEAD_BYTES = 400  # of a record's own objects, beside key and data
LARGEST = 1 / 16  # of the capacity: a larger record would drive out too many others
MARKS = 1024


class Kept(NamedTuple):
    record: Record
    check_at: float  # from then on the next tier is asked again


class Memory:
    """Thread-safe. A reader takes a `mark` before it asks a slower tier, so that what it read is kept only if the key
    was not dropped meanwhile.
    """

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._capacity = capacity_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._marks = [0] * MARKS  # keys share them: a drop of the one at worst has the other read again
        self._clears = 0
        self.size_bytes = 0

    def get(self, key: str) -> Kept | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
            return kept

    def mark(self, key: str) -> int:
        return self._clears + self._marks[hash(key) % MARKS]

    def put(self, key: str, record: Record, check_at: float, mark: int) -> None:
        size = _size(key, record)
        with self._lock:
            if mark != self.mark(key) or size > self._capacity * LARGEST:
                return
            self._remove(key)
            self._kept[key] = Kept(record, check_at)
            self.size_bytes += size
            while self.size_bytes > self._capacity:
                self._remove(next(iter(self._kept)))

    def drop(self, key: str) -> None:
        with self._lock:
            self._marks[hash(key) % MARKS] += 1
            self._remove(key)

    def clear(self) -> None:
        with self._lock:
            self._clears += 1
            self._kept.clear()
            self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def _remove(self, key: str) -> None:
        if kept := self._kept.pop(key, None):
            self.size_bytes -= _size(key, kept.record)


def _size(key: str, record: Record) -> int:
    return len(key) + len(record.data) + OVERHEAD_BYTES
