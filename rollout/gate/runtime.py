"""The parts that the gates of one process share: the states of the rollouts, the counts, and their threads."""

import atexit
import threading

import structlog

from core.process.per_process import PerProcess
from core.tasks import enqueue
from rollout.gate.counters import Counters
from rollout.gate.in_flight import CallsInFlight
from rollout.gate.shadow import ShadowRuns
from rollout.gate.state import RolloutStates

FLUSH_SECONDS = 1.0
FIRST_REFRESH_SECONDS = 1.0
TICK_EXPIRES_SECONDS = 5
log = structlog.get_logger("slipway.gate")


class GateRuntime:
    """States, counts and running candidates of this process. `start` begins its threads."""

    def __init__(self) -> None:
        self.states = RolloutStates()
        self.counters = Counters(self.states.visit_of, on_trip=_request_tick)
        self.shadow_runs = ShadowRuns()
        self.in_flight = CallsInFlight()

    def start(self) -> None:
        """Begin the threads. Return after the first refresh, or after a second without one: then control is served."""
        has_refreshed = self.states.start()
        threading.Thread(target=self._run, name="slipway-counts", daemon=True).start()
        has_refreshed.wait(FIRST_REFRESH_SECONDS)

    def flush(self) -> None:
        """Send the counts, and count the candidates that take too long. Raises nothing."""
        try:
            self.shadow_runs.abandon_overdue()
            if skipped := self.shadow_runs.take_skipped():
                log.warning(
                    "shadow runs were skipped because all places are taken; fewer requests are compared", runs=skipped
                )
            self.in_flight.count_overdue()
            self.counters.flush()
        except Exception:  # the next flush is a second away, and what was counted stays counted
            log.exception("cannot send the counts of the rollouts; they are sent with the next flush")

    def _run(self) -> None:
        while True:
            self.counters.wake.wait(FLUSH_SECONDS)
            self.counters.wake.clear()
            self.flush()


def _request_tick(rollout: str) -> None:
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
    runtime = GateRuntime()
    runtime.start()
    return runtime


shared = PerProcess(_start)


@atexit.register
def _flush_at_exit() -> None:
    """Send what was counted since the last flush. A fork that never used a gate leaves its parent's counts alone."""
    runtime = shared.current()
    if runtime is not None:
        runtime.flush()
