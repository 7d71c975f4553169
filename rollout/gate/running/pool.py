"""The pool of one rollout: candidates and probes that run beside control, and can neither delay nor fail an answer.

A few run at a time, in daemon threads that the next run uses again, or as tasks of the caller's event loop. A run that
takes longer than its limit is abandoned: it is counted as an error, its place is given to another run, and its result
is ignored. A thread cannot be stopped, so the number of abandoned runs is limited too. When all places are taken,
further runs are skipped and counted; no run waits in a queue. A candidate must set time-outs on everything it waits
for, must change no shared state, and must release the interpreter's lock. No library can help against a loop in C that
never does.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import structlog
from django.db import connections

from rollout.gate.running.connections import open_aliases, prepare, settle
from rollout.gate.running.context import in_callers_context

RUNS_AT_ONCE = 4
ABANDONED_AT_MOST = 8
LIMIT_SECONDS = 5.0
IDLE_SECONDS = 10.0  # after which a thread without work ends and closes its connections
log = structlog.get_logger("slipway.gate")


@dataclass(eq=False, slots=True)
class Run:
    """A run that has a place in the pool.

    on_abandoned: is called when the run has taken longer than its limit.
    stop: asks the run to end, and returns False if it cannot end any more; None: it cannot be asked.
    is_abandoned: the run has taken longer than its limit; then its work must report nothing.
    is_reported: the run has ended in time, and reports itself.
    """

    on_abandoned: Callable[[], None]
    stop: Callable[[], bool] | None = None
    started_at: float = field(default_factory=time.monotonic)
    is_abandoned: bool = False
    is_reported: bool = False


Work = Callable[[Run], None]
Job = tuple[Run, Callable[[], None]]


class Pool:
    """The runs of one rollout in this process. Threads share it.

    abandoned: the number of abandoned runs that have not ended yet.
    skipped: the number of runs that found no place since `take_skipped` was called.
    aliases: the databases that the runs used; they are opened before a run's clock starts.
    """

    def __init__(
        self,
        at_once: int = RUNS_AT_ONCE,
        limit_seconds: float = LIMIT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._at_once, self._limit_seconds, self._idle_seconds = at_once, limit_seconds, idle_seconds
        self._lock = threading.Lock()
        self._running: set[Run] = set()
        self._idle = 0  # threads that wait for a job and that no job was given to
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self.aliases: set[str] = set()
        self.skipped = 0
        self.abandoned = 0

    @property
    def running(self) -> int:
        """The number of runs that have a place now."""
        return len(self._running)

    def reserve(self, on_abandoned: Callable[[], None]) -> Run | None:
        """Return a run that has a place from now on; None if every place is taken.

        The caller begins the run, or releases it.
        """
        self.abandon_overdue()
        with self._lock:
            if len(self._running) >= self._at_once or self.abandoned >= ABANDONED_AT_MOST:
                self.skipped += 1
                return None
            run = Run(on_abandoned)
            self._running.add(run)
            return run

    def begin(self, run: Run, work: Work) -> bool:
        """Begin a reserved run in a thread, with a copy of the caller's context. Return whether there was a thread.

        work: raises nothing, and reports only if `may_report` returns True.
        """
        execute = partial(self._execute, run, in_callers_context(partial(work, run)), open_aliases())
        job: Job = run, execute
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._jobs.put(job)
                return True
        try:
            threading.Thread(target=self._work, args=(job,), name="slipway-shadow", daemon=True).start()
        except RuntimeError:  # the machine has no thread left
            self.release(run)
            with self._lock:
                self.skipped += 1
            return False
        return True

    def may_report(self, run: Run) -> bool:
        """Return whether the run ended within its limit. From then on it cannot be abandoned."""
        with self._lock:
            run.is_reported = not run.is_abandoned
            return run.is_reported

    def release(self, run: Run) -> None:
        """Give the run's place to another one."""
        with self._lock:
            self._running.discard(run)
            if run.is_abandoned:
                self.abandoned -= 1

    def take_skipped(self) -> int:
        """Return the number of runs that were skipped since the last call."""
        with self._lock:
            skipped, self.skipped = self.skipped, 0
        return skipped

    def abandon_overdue(self) -> None:
        """Abandon the runs that have taken longer than their limit. The flushing thread calls this too."""
        oldest = time.monotonic() - self._limit_seconds
        with self._lock:
            overdue = [run for run in self._running if run.started_at < oldest and not run.is_reported]
            for run in overdue:
                run.is_abandoned = True
                self._running.discard(run)
                self.abandoned += 1
        for run in overdue:
            if run.stop is not None and not run.stop():
                self.release(run)  # its event loop is closed, so it ended without its fault
            else:
                run.on_abandoned()

    def _work(self, job: Job | None) -> None:
        """Execute jobs until there is none for a while. A thread whose run was abandoned was replaced, and ends."""
        while job is not None:
            run, execute = job
            execute()
            job = None if run.is_abandoned else self._next_job()
        connections.close_all()  # those of this thread

    def _next_job(self) -> Job | None:
        with self._lock:
            self._idle += 1
        try:
            return self._jobs.get(timeout=self._idle_seconds)
        except queue.Empty:
            pass
        with self._lock:
            if self._idle:
                self._idle -= 1
                return None
            return self._jobs.get_nowait()  # this thread was the last idle one, and a job was given to it

    def _execute(self, run: Run, work: Callable[[], object], aliases: Iterable[str]) -> None:
        try:
            prepare(self.aliases.union(aliases))
            work()
            self.aliases = self.aliases | open_aliases()
        except BaseException:  # a thread has no caller, and its place must become free
            log.exception("a run beside control failed in the gate itself; it is not counted")
        finally:
            settle()
            self.release(run)
