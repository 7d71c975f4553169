"""An observation is a call of an arm; it belongs to a stage visit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rollout.decisions.stages import Arm


@dataclass(frozen=True, slots=True)
class StageVisit:
    """The visit of a rollout to a stage, as far as counting needs it.

    id, attempt: as `rollout.models.Rollout` describes them.
    step: the share that the candidate serves, 0 to 100, which names the percent step.
    errors_at_most: the hard limit of the candidate's errors; None if there is none.
    first_requests: the hard limit judges so many requests of the candidate; None: always.
    window_seconds: the length of the window of a limit that always judges; None: the whole visit.
    """

    id: str
    attempt: str = ""
    step: int = 0
    errors_at_most: int | None = None
    first_requests: int | None = None
    window_seconds: float | None = None


class Observation(NamedTuple):
    """The effects of one call of an arm.

    ms: its latency.
    is_hit: whether a cache had the value; None if no cache was looked up.
    is_same: whether the value equals control's; None if the two were not compared.
    key: the targeting key, if it is known.
    metrics: the application's own metrics.
    is_alone: whether the candidate could not run beside this call of control.
    has_compare_failed: whether the two values could not be compared.
    """

    rollout: str
    visit: StageVisit
    arm: Arm
    ms: float
    is_error: bool = False
    is_hit: bool | None = None
    is_same: bool | None = None
    key: str | None = None
    metrics: Mapping[str, float | bool] | None = None
    is_alone: bool = False
    has_compare_failed: bool = False
