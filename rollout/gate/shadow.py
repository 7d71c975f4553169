"""Shadow runs: the candidate runs in addition to control, and can neither delay nor fail an answer.

Each run has a daemon thread of its own, and a few run at a time. A run that takes longer than its limit is abandoned:
it is counted as an error, its place is given to another run, and its result is ignored. Its thread cannot be stopped,
so the number of abandoned runs is limited too. When all places are taken, further runs are skipped and counted. So a
candidate must set time-outs on everything it waits for, must change no shared state, and must release the interpreter's
lock: no library can help against a loop in C that never does.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import connections

RUNS_AT_ONCE = 4
ABANDONED_AT_MOST = 8
LIMIT_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class ShadowRun:
    """A shadow run. `is_abandoned` is set when it took longer than its limit; then its work must report nothing."""

    on_abandoned: Callable[[], None]
    started_at: float = field(default_factory=time.monotonic)
    is_abandoned: bool = False


class ShadowRuns:
    """The shadow runs of this process.

    abandoned: the number of abandoned runs that have not ended yet.
    skipped: the number of runs that found no place since `take_skipped` was called.
    """

    def __init__(self, at_once: int = RUNS_AT_ONCE, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._at_once, self._limit_seconds = at_once, limit_seconds
        self._lock = threading.Lock()
        self._running: set[ShadowRun] = set()
        self.skipped = 0
        self.abandoned = 0

    def submit(self, work: Callable[[ShadowRun], None], on_abandoned: Callable[[], None]) -> bool:
        """Begin a run in a thread of its own. Return whether there was a place for it.

        work: raises nothing, and checks whether its run was abandoned before it reports.
        on_abandoned: is called when the run has taken longer than its limit.
        """
        self.abandon_overdue()
        with self._lock:
            if len(self._running) >= self._at_once or self.abandoned >= ABANDONED_AT_MOST:
                self.skipped += 1
                return False
            run = ShadowRun(on_abandoned)
            self._running.add(run)
        try:
            threading.Thread(target=self._execute, args=(work, run), name="slipway-shadow", daemon=True).start()
        except RuntimeError:  # the machine has no thread left
            with self._lock:
                self._running.discard(run)
                self.skipped += 1
            return False
        return True

    def take_skipped(self) -> int:
        """Return the number of runs that were skipped since the last call."""
        with self._lock:
            skipped, self.skipped = self.skipped, 0
        return skipped

    def abandon_overdue(self) -> None:
        """Abandon the runs that have taken longer than their limit. The flushing thread calls this too."""
        now = time.monotonic()
        with self._lock:
            overdue = [run for run in self._running if now - run.started_at > self._limit_seconds]
            for run in overdue:
                run.is_abandoned = True
                self._running.discard(run)
                self.abandoned += 1
        for run in overdue:
            run.on_abandoned()

    def _execute(self, work: Callable[[ShadowRun], None], run: ShadowRun) -> None:
        try:
            work(run)
        finally:
            with self._lock:
                self._running.discard(run)
                if run.is_abandoned:
                    self.abandoned -= 1
            connections.close_all()  # those of this thread
