"""A process with its gate, for tests. Its states are refreshed when the test asks for it."""

from collections.abc import Callable
from typing import Any

from rollout.choices import Stage
from rollout.decisions.counts import Counts
from rollout.decisions.stages import Arm
from rollout.gate import Gate
from rollout.gate.runtime import GateRuntime
from rollout.models import GuardPolicy, Rollout
from tests.conftest import look
from tests.processes import until
from tests.rollout.counted import read_counts

NAME = "derived-data"
IN, OUT = "user-6", "user-1"  # targeting keys below and above 10 %


class World:
    """A process with its gate. No thread of its own refreshes or flushes."""

    def __init__(self, limit_seconds: float = 0.05) -> None:
        self.process = GateRuntime(limit_seconds)
        self.states, self.counters = self.process.states, self.process.counters
        self.in_flight, self.pool = self.process.in_flight, self.process.pool_of(NAME)
        self.gate = Gate(NAME, lambda: self.process)

    def at(self, stage: Stage, percent: int = 10) -> None:
        Rollout.objects.filter(name=NAME).update(stage=stage, run_state="running", percent=percent, epoch=7)
        look(self.states)

    def never_trips(self) -> None:
        """Switch the guards off, so that a test can count many errors."""
        GuardPolicy.objects.update(is_on=False)

    def counted(self, arm: Arm) -> Counts:
        self.counters.flush()
        visit = self.states.visit_of(NAME)
        assert visit is not None
        return read_counts(arm, visit)

    def figures(self) -> dict[str, int]:
        """Return the requests and errors of both arms, and what was compared."""
        control, candidate = self.counted(Arm.CONTROL), self.counted(Arm.CANDIDATE)
        figures = {
            "control": control.requests,
            "control errors": control.errors,
            "candidate": candidate.requests,
            "candidate errors": candidate.errors,
            "compared": candidate.compared,
            "mismatches": candidate.mismatches,
            "dropped": control.dropped + candidate.dropped,
        }
        return {name: count for name, count in figures.items() if count}

    def settles_at(self, **figures: int) -> bool:
        """Wait until exactly these figures are counted and no run beside control is left."""
        expected = {name.replace("_", " "): count for name, count in figures.items()}
        return until(lambda: self.figures() == expected and not self.pool.running, 10)

    def abandoned(self) -> int:
        self.pool.abandon_overdue()
        return self.counted(Arm.CANDIDATE).errors

    def run(self, user: str, candidate: Callable[[], Any], **options: Any) -> Any:
        return self.gate.run(user, control=lambda: "control", candidate=candidate, **options)


def fails() -> None:
    raise ZeroDivisionError


def exits() -> None:
    raise SystemExit(1)
