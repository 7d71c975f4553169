"""What the gates of one process share: their view of the rollouts, what they count, and the threads that keep both."""

import atexit
import threading

import structlog

from core.process.per_process import PerProcess
from core.tasks import enqueue
from rollout.gate.counters import Metrics
from rollout.gate.in_flight import InFlight
from rollout.gate.shadow import Shadows
from rollout.gate.view import Views

FLUSH_SECONDS = 1.0
FIRST_LOOK_SECONDS = 1.0
EXPIRES_SECONDS = 5
log = structlog.get_logger("slipway.gate")


class Process:
    def __init__(self) -> None:
        self.views = Views()
        self.metrics = Metrics(self.views.visit_of, on_trip=_have_it_written_down)
        self.shadows = Shadows()
        self.in_flight = InFlight()

    def start(self) -> None:
        """Returns when the rollouts were looked at, or could not be for a second: then control is served."""
        looked = self.views.start()
        threading.Thread(target=self._run, name="slipway-counts", daemon=True).start()
        atexit.register(self.flush)
        looked.wait(FIRST_LOOK_SECONDS)

    def _run(self) -> None:
        while True:
            self.metrics.wake.wait(FLUSH_SECONDS)
            self.metrics.wake.clear()
            self.flush()

    def flush(self) -> None:
        try:
            self.shadows.abandon_overdue()
            if skipped := self.shadows.take_skipped():
                log.warning("shadow runs found no place: the comparison is of fewer requests", runs=skipped)
            self.in_flight.count_overdue()
            self.metrics.flush()
        except Exception:  # the next one is a second away, and what was counted stays counted
            log.exception("counts could not be sent")


def _have_it_written_down() -> None:
    """Every gate serves control by now; a worker's tick makes it so in the table, at once rather than in 5 s. Asked for
    in a thread of its own: a broker that hangs must not hold up the counts.
    """
    threading.Thread(target=_ask_for_a_tick, name="slipway-trip", daemon=True).start()


def _ask_for_a_tick() -> None:
    try:
        enqueue("rollout.tick", expires_seconds=EXPIRES_SECONDS)
    except Exception:  # the next tick is on its way anyway
        log.exception("no tick could be asked for")


def _start() -> Process:
    process = Process()
    process.start()
    return process


own = PerProcess(_start)
