"""Whether a rollout trips: which violation takes it back, and to which stage. Pure.

A hard limit does not wait for this decision: the script in rollout/gate/scripts.py that adds up the errors sets a mark,
and every gate answers control. The number of errors in that mark comes in here with the next tick.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rollout.choices import Consequence, Stage, Verdict
from rollout.decisions.guards import Judgment, describe_judgment


@dataclass(frozen=True, slots=True)
class Trip:
    """A rollout goes back to `stage`. reasons: for the history and the operator."""

    stage: Stage
    reasons: tuple[str, ...]


def decide_trip(
    stage: Stage, judgments: Sequence[Judgment], trip_errors: int, blind_ticks: int, *, errors_in_a_row: int
) -> Trip | None:
    """Return the trip of a rollout in this stage, or None if nothing takes it back.

    judgments: the verdicts of this stage's guards.
    trip_errors: the number of errors that exceeded the hard limit, if that trip is not yet in the table; else 0.
    blind_ticks: the number of ticks in a row at which a guard could not be measured.
    errors_in_a_row: the number of such ticks that takes the rollout back.
    """
    violations = [each for each in judgments if each.verdict is Verdict.VIOLATION and each.is_binding]
    reasons = tuple(map(describe_judgment, violations))
    if trip_errors:
        reasons = (describe_exceeded_limit(trip_errors), *reasons)
    if reasons:
        # A trip without a violation of this stage raced an advance out of the stage that judged it: it disables.
        steps_back = bool(violations) and all(each.leads is Consequence.STEP_BACK for each in violations)
        return Trip(_stage_before(stage) if steps_back else Stage.DISABLED, reasons)
    if blind_ticks >= errors_in_a_row:
        return Trip(Stage.DISABLED, (f"the guards could not be measured at {blind_ticks} ticks in a row",))
    return None


def _stage_before(stage: Stage) -> Stage:
    order = list(Stage)
    return order[order.index(stage) - 1]


def describe_exceeded_limit(errors: int) -> str:
    """Return the reason of a trip that a gate set off, before any tick."""
    return f"the hard limit of errors was exceeded, with {errors} errors"
