"""Running the candidate beside control without ever delaying or failing an answer.

Each run has a daemon thread of its own, a few at a time. One that takes longer than its limit is abandoned: counted
as an error, its place given to others, its result ignored. It cannot be stopped, so abandoned ones are capped too;
when all places are taken, further runs are skipped and counted. A candidate must therefore set time-outs on what it
waits for, must not change shared state, and must not hold the interpreter's lock for long: against a loop in C that
never lets go of it no library helps.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import connections

AT_ONCE, ABANDONED_AT_MOST = 4, 8
LIMIT_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class Run:
    on_abandoned: Callable[[], None]
    started_at: float = field(default_factory=time.monotonic)
    is_abandoned: bool = False


class Shadows:
    def __init__(self, at_once: int = AT_ONCE, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._at_once, self._limit = at_once, limit_seconds
        self._lock = threading.Lock()
        self._running: set[Run] = set()
        self._abandoned = 0
        self.skipped = 0

    def submit(self, work: Callable[[Run], None], on_abandoned: Callable[[], None]) -> bool:
        """Have it run beside; `work` raises nothing, and asks its run whether it was abandoned before it reports.
        Returns whether there was a place for it.
        """
        self.abandon_overdue()
        with self._lock:
            if len(self._running) >= self._at_once or self._abandoned >= ABANDONED_AT_MOST:
                self.skipped += 1
                return False
            run = Run(on_abandoned)
            self._running.add(run)
        try:
            threading.Thread(target=self._carry_out, args=(work, run), name="slipway-shadow", daemon=True).start()
        except RuntimeError:  # no more threads to be had
            with self._lock:
                self._running.discard(run)
                self.skipped += 1
            return False
        return True

    def take_skipped(self) -> int:
        """How many found no place since this was last asked."""
        with self._lock:
            skipped, self.skipped = self.skipped, 0
        return skipped

    def abandon_overdue(self) -> None:
        """Those past their limit give their places to others; also called by who flushes the counts."""
        now = time.monotonic()
        with self._lock:
            overdue = [run for run in self._running if now - run.started_at > self._limit]
            for run in overdue:
                run.is_abandoned = True
                self._running.discard(run)
                self._abandoned += 1
        for run in overdue:
            run.on_abandoned()

    def _carry_out(self, work: Callable[[Run], None], run: Run) -> None:
        try:
            work(run)
        finally:
            with self._lock:
                self._running.discard(run)
                self._abandoned -= run.is_abandoned
            connections.close_all()  # its own
