"""The parts that the gates of one process share: the states of the rollouts, the counts, and their threads."""

import threading
from collections.abc import Callable

import structlog

from core.process.exits import at_exit
from core.process.per_process import PerProcess
from core.tasks import enqueue
from rollout.gate import forced
from rollout.gate.counters import Counters
from rollout.gate.refreshing import RefreshThreads
from rollout.gate.running.failures import FailureLog
from rollout.gate.running.in_flight import CallsInFlight
from rollout.gate.running.pool import LIMIT_SECONDS, Pool
from rollout.gate.state import RolloutStates

FLUSH_SECONDS = 1.0
FIRST_REFRESH_SECONDS = 1.0
TICK_EXPIRES_SECONDS = 5
log = structlog.get_logger("slipway.gate")


class GateRuntime:
    """States, counts and running candidates of this process. `start` begins its threads.

    limit_seconds: the time after which a running candidate or probe is counted as an error.
    """

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._limit_seconds = limit_seconds
        self.states = RolloutStates()
        self.counters = Counters(self.states.visit_of, on_trip=self._act_on_trip)
        self.in_flight = CallsInFlight(limit_seconds)
        self.failures = FailureLog()
        self._pools: dict[str, Pool] = {}
        self._pools_lock = threading.Lock()

    def pool_of(self, rollout: str) -> Pool:
        """Return the rollout's pool. Each rollout has its own, so that one that hangs ends no other comparison."""
        pool = self._pools.get(rollout)
        if pool is None:
            with self._pools_lock:
                pool = self._pools.setdefault(rollout, Pool(limit_seconds=self._limit_seconds))
        return pool

    def start(self) -> None:
        """Begin the threads. Return after the first refresh, or after a second without one: then control is served."""
        is_over = forced.test_environment_began()
        self._threads = RefreshThreads(self.states, is_over)
        self._threads.start()
        threading.Thread(target=self._run, args=(is_over,), name="slipway-counts", daemon=True).start()
        at_exit(self.flush)
        self._threads.has_refreshed.wait(FIRST_REFRESH_SECONDS)

    def stop(self) -> None:
        """End the threads that refresh the states, and return when they have ended."""
        self._threads.stop()

    def flush(self) -> None:
        """Send the counts, and count the candidates that take too long. Raises nothing."""
        try:
            for rollout, pool in self._pools.copy().items():
                pool.abandon_overdue()
                if skipped := pool.take_skipped():
                    log.warning(
                        "runs beside control were skipped because all places are taken; fewer requests are compared",
                        rollout=rollout,
                        runs=skipped,
                    )
            self.in_flight.count_overdue()
            self.counters.flush()
        except Exception:  # the next flush is a second away, and what was counted stays counted
            log.exception("cannot send the counts of the rollouts; they are sent with the next flush")

    def _run(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            self.counters.wake.wait(FLUSH_SECONDS)
            self.counters.wake.clear()
            self.flush()

    def _act_on_trip(self, rollout: str) -> None:
        self.states.mark_tripped(rollout)
        _request_tick()


def _request_tick() -> None:
    """Ask a worker to write a trip into the table now, rather than with the next scheduled tick in up to 5 s.

    Every gate serves control already. The request has a thread of its own, because a broker that hangs must not delay
    the counts.
    """
    threading.Thread(target=_enqueue_tick, name="slipway-trip", daemon=True).start()


def _enqueue_tick() -> None:
    try:
        enqueue("rollout.tick", expires_seconds=TICK_EXPIRES_SECONDS)
    except Exception:  # the next scheduled tick writes the trip
        log.exception("cannot request a tick after a trip; the next scheduled tick writes it into the table")


def _start() -> GateRuntime:
    """Return a runtime with its threads; in Django's test environment without, so that every gate answers control."""
    runtime = GateRuntime()
    if not forced.is_test_environment():
        runtime.start()
    return runtime


shared = PerProcess(_start)
