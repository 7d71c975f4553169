"""Look-ups, counted in memory and stored every 15 seconds. A crash loses the counts since the last time."""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress

import orjson
import structlog
from django.db import Error, connection

from caching import sql
from caching.choices import Tier
from caching.models import CacheLookup
from core.process.flush_thread import FlushThread
from core.process.per_process import PerProcess

FLUSH_SECONDS = 15.0
ADDED_UP_AFTER = 10_000  # look-ups
log = structlog.get_logger("slipway.caching")


class HitCounter:
    """The look-ups of one process since they were last stored. The first look-up starts the thread that stores them.

    Thread-safe: a reader only appends its look-up to a deque, which takes no lock; a lock protects the sums.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: deque[tuple[str, Tier, int]] = deque()
        self._lookups: Counter[tuple[str, Tier]] = Counter()
        self._rows: Counter[int] = Counter()
        self._thread = FlushThread("slipway-hits", self.flush_quietly, FLUSH_SECONDS)

    def forget_counts(self) -> None:
        """Drop what was counted and not stored."""
        self._new.clear()
        self._lookups, self._rows = Counter(), Counter()

    def count(self, kind: str, tier: Tier, row: int = 0) -> None:
        """Count one look-up.

        kind: the type of the entry, or "value". row: the id of the entry that was hit; 0 if there is none.
        """
        self._new.append((kind, tier, row))
        if len(self._new) >= ADDED_UP_AFTER:
            with self._lock:
                self._add_up()
        self._thread.ensure_started()

    def _add_up(self) -> None:
        with suppress(IndexError):
            while True:
                kind, tier, row = self._new.popleft()
                self._lookups[kind, tier] += 1
                if row:
                    self._rows[row] += 1

    def flush(self) -> None:
        """Store the counts, in one statement. Raise django.db.Error; the look-ups stay counted then."""
        with self._lock:
            self._add_up()
            lookups, rows = self._lookups, self._rows
            self._lookups, self._rows = Counter(), Counter()
        if not lookups:
            return
        counted = [{"kind": kind, "tier": tier, "lookups": count} for (kind, tier), count in lookups.items()]
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    sql.COUNT_HITS,
                    {"lookups": orjson.dumps(counted).decode(), "rows": list(rows), "hits": list(rows.values())},
                )
        except Error:
            with self._lock:
                self._lookups.update(lookups)
                self._rows.update(rows)
            raise

    def flush_quietly(self) -> None:
        """Store the counts. If the database refuses, log it; the look-ups stay counted."""
        try:
            self.flush()
        except Error as error:
            log.warning("cannot store the look-ups; they stay counted", error=str(error))
        finally:
            with suppress(Error):
                connection.close()  # a connection is not worth holding until the next time


# A fork counts from zero: what its parent counted is the parent's to store.
hits = PerProcess(HitCounter)


def count_lookups(by_tier: Mapping[str, int]) -> int:
    """Return the number of look-ups.

    A damaged value is not one: it is counted in addition to the tier that answered instead.
    """
    return sum(lookups for tier, lookups in by_tier.items() if tier != Tier.CORRUPT)


def lookups_by_kind() -> dict[str, dict[str, int]]:
    """Return the stored numbers of look-ups, by kind and tier."""
    counts: dict[str, dict[str, int]] = {}
    for lookup in CacheLookup.objects.order_by("kind", "tier"):
        counts.setdefault(lookup.kind, {})[lookup.tier] = lookup.lookups
    return counts
