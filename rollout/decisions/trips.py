"""Whether a rollout trips: which violation takes it back, and to which stage. Pure.

A hard limit does not wait for this decision: the script in rollout/gate/scripts.py that adds up the errors sets a mark,
and every gate answers control. The number of errors in that mark comes in here with the next tick.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rollout.choices import Consequence, Stage, Verdict
from rollout.decisions.guards import ALPHA, Judgment
from rollout.decisions.wording import describe_judgment


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


@lru_cache(maxsize=4096)
def hard_limit(at_most: int, first_requests: int | None, control_requests: int, control_errors: int) -> int:
    """Return how many errors the count allows in the first requests of a stage visit.

    That is the policy's limit, or more if control itself has so many errors that they explain a higher count. Then it
    is the smallest count that a candidate as good as control exceeds with a probability of at most ALPHA / 2. Control's
    sample shows its rate only roughly, so the count has a beta-binomial distribution, with the prior of Jeffreys 1946,
    Proc. R. Soc. A 186:453-461.

    at_most: the limit of the policy.
    first_requests: for how many requests the count judges; None: always, and then the policy's limit holds.
    control_requests, control_errors: control's sample from the stage before; 0 if there is none.
    """
    if first_requests is None or not control_errors:
        return at_most
    bad, good = control_errors + 0.5, control_requests - control_errors + 0.5
    log_chance = math.lgamma(good + first_requests) - math.lgamma(good)  # of no error
    log_chance += math.lgamma(bad + good) - math.lgamma(bad + good + first_requests)
    tail = 1.0  # the probability of at least `count` errors
    for count in range(first_requests):
        tail -= math.exp(log_chance)
        if count >= at_most and tail <= ALPHA / 2:
            return count
        log_chance += math.log((first_requests - count) / (count + 1))
        log_chance += math.log((bad + count) / (good + first_requests - count - 1))
    return max(at_most, first_requests)
