"""The plan of a level: its steps, with the times that they took before. Reads only."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from core.text import duration
from rollout.choices import RunKind, RunOutcome
from rollout.models import RecoveryStep
from rollout.recovery.rollback import gradual
from rollout.recovery.rollback.steps import STEPS, VERIFY
from rollout.recovery.runner import PROMISED

EARLIER_RUNS = 10


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that a rollback would execute.

    seconds: the median of earlier runs, or the length of a hold; None if no earlier run executed the step.
    """

    name: str
    summary: str
    seconds: float | None


def plan_level(level: RunKind, pace: float = 1.0) -> list[PlannedStep]:
    """Return what a rollback of the level would do. Change nothing.

    pace: the factor of a gradual rollback's holds.
    """
    if level is not RunKind.GRADUAL:
        return [PlannedStep(step.name, step.summary, _median_seconds(level, step.name)) for step in STEPS[level]]
    hold = gradual.HOLD.total_seconds() * pace
    places = [PlannedStep(name, summary, hold) for name, summary in gradual.describe_ladder(pace).items()]
    return [*places, PlannedStep(VERIFY.name, VERIFY.summary, None)]


def _median_seconds(level: RunKind, name: str) -> float | None:
    earlier = RecoveryStep.objects.filter(run__kind=level, name=name, outcome=RunOutcome.DONE, run__is_rehearsal=False)
    newest = earlier.order_by("-pk")[:EARLIER_RUNS]
    seconds = [step.seconds for step in newest if step.seconds is not None]
    return statistics.median(seconds) if seconds else None


def describe_plan(level: RunKind, planned: Sequence[PlannedStep]) -> str:
    """Return the plan as a table for a terminal, one line per step."""
    lines = [f"{level.label} rollback, promised in {duration(PROMISED[level])}:"]
    lines += [f"  {step.name:<22} {describe_estimate(step.seconds):>17}  {step.summary}" for step in planned]
    return "\n".join(lines)


def describe_estimate(seconds: float | None) -> str:
    """Return how long a step will take, as far as it is known."""
    if seconds is None:
        return "no time known yet"
    return duration(seconds) if seconds < 0.1 else f"about {duration(seconds)}"
