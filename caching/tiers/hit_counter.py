"""Look-ups, counted in memory and written down every few seconds: a crash loses what came since."""

import atexit
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress

import orjson
import structlog
from django.db import Error, connection

from caching import sql
from caching.choices import Tier
from caching.models import CacheLookup

FLUSH_SECONDS = 15.0
ADDED_UP_AFTER = 10_000  # look-ups; a reader only notes its own, which takes no lock
log = structlog.get_logger("slipway.caching")


class Hits:
    """Thread-safe: a deque's ends are, and the sums have a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: deque[tuple[str, Tier, int]] = deque()
        self._lookups: Counter[tuple[str, Tier]] = Counter()
        self._rows: Counter[int] = Counter()
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._begin_again)

    def forget_counts(self) -> None:
        self._new.clear()
        self._lookups, self._rows = Counter(), Counter()

    def _begin_again(self) -> None:
        """The thread does not live on in a fork, and what the parent counted is the parent's."""
        self._lock, self._thread = threading.Lock(), None
        self.forget_counts()

    def count(self, kind: str, tier: Tier, row: int = 0) -> None:
        """kind: of entry, or `value`. row: of the entry that was hit."""
        self._new.append((kind, tier, row))
        if len(self._new) >= ADDED_UP_AFTER:
            with self._lock:
                self._add_up()
        if self._thread is None:
            self._start()

    def _add_up(self) -> None:
        with suppress(IndexError):
            while True:
                kind, tier, row = self._new.popleft()
                self._lookups[kind, tier] += 1
                if row:
                    self._rows[row] += 1

    def flush(self) -> None:
        """Write down what was counted, in one statement. Raises django.db.Error; then it stays counted."""
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

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="slipway-hits", daemon=True)
                self._thread.start()
                atexit.register(self._flush_quietly)

    def _run(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            self._flush_quietly()

    def _flush_quietly(self) -> None:
        try:
            self.flush()
        except Error as error:
            log.warning("look-ups could not be written down; they stay counted", error=str(error))
        finally:
            with suppress(Error):
                connection.close()  # not worth holding one in between


def answered(by_tier: Mapping[str, int]) -> int:
    """Look-ups in all: a damaged value is counted beside the tier that answered in its place."""
    return sum(lookups for tier, lookups in by_tier.items() if tier != Tier.CORRUPT)


def lookups_by_kind() -> dict[str, dict[str, int]]:
    """What was written down, by kind and tier."""
    counts: dict[str, dict[str, int]] = {}
    for lookup in CacheLookup.objects.order_by("kind", "tier"):
        counts.setdefault(lookup.kind, {})[lookup.tier] = lookup.lookups
    return counts
