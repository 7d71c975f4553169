"""The next step of a rollout: it stays, advances, trips or finishes, and why. Pure.

Durations are deadlines counted from the moment a stage or a percent step was entered, plus the time since in which it
was not in effect: paused, with serving switched off, or not judged. A trip outranks timers, approvals, pauses and the
freeze switch. To leave a stage a rollout needs its time and a PASS from the measurements of this visit; each percent
step needs that too, and a sample of its own.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rollout.choices import RunState, Stage, Verdict
from rollout.decisions.guards import Judgment, worst
from rollout.decisions.trips import decide_trip
from rollout.decisions.wording import describe_judgment

DEFAULT_ROLLOUT = "derived-data"  # made by the migrations; the consumer API is behind it
ORDER = list(Stage)
ACTIVE = {RunState.RUNNING, RunState.WAITING, RunState.PAUSED, RunState.DONE}  # the guards watch in all of them


class Next(enum.Enum):
    """The actions of a tick on a rollout."""

    STAY = "stay"
    ADVANCE = "advance"
    STEP = "step"  # to the next percent of the same stage
    WAIT = "wait"  # for an approval
    TRIP = "trip"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """The policy of one stage.

    minutes: its length at pace 1.
    percents: increasing traffic shares, 1 to 100; the stage's time is split evenly among them.
    errors_in_a_row: a rollout trips if its guards could not be measured at so many ticks in a row.
    hold_back_percent: the share of keys that control serves in FULL_ACTIVE, 0 to 50.
    """

    minutes: float
    percents: tuple[int, ...] = ()
    needs_approval: bool = False
    errors_in_a_row: int = 6
    hold_back_percent: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a rollout in its stage, at one tick.

    percent: the traffic share of the candidate, 0 to 100.
    entered_at: when the stage, or its percent step, was entered.
    paused_seconds, idle_seconds: the time since then in which the rollout was paused, or was not in effect because
        serving was off or nothing was judged.
    pace: a factor of the stage's length; 0.05 shortens ten minutes to half a minute.
    trip_errors: the number of errors that exceeded the hard limit, if the trip is not yet in the table; else 0.
    is_serving: whether the part Serving is switched on.
    blind_ticks: the number of ticks in a row, this one included, at which a guard could not be measured.
    name: the rollout's, for the commands that the reasons name.
    """

    stage: Stage
    run_state: RunState
    percent: int
    entered_at: datetime
    paused_seconds: float = 0.0
    idle_seconds: float = 0.0
    pace: float = 1.0
    is_serving: bool = True
    is_approved: bool = False
    is_frozen: bool = False
    trip_errors: int = 0
    blind_ticks: int = 0
    name: str = DEFAULT_ROLLOUT


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of a tick.

    stage: the stage that the rollout goes to, or stays in.
    percent: for a STEP the next traffic share, else the present one; 0 for a TRIP.
    reasons: for the history and the operator.
    """

    next: Next
    stage: Stage
    percent: int
    reasons: tuple[str, ...] = ()


class Arm(enum.Enum):
    """The way that an answer was made: the old one or the new one."""

    CONTROL = "control"
    CANDIDATE = "candidate"


class Lines(enum.Enum):
    """The provider lines that the API publishes."""

    NONE = "none"
    PRIORITY = "priority"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Serving:
    """The way in which a stage serves.

    percent: the share of targeting keys that the candidate serves, 0 to 100.
    probes: the candidate's cache is probed in addition to control's answer, so that hits and misses are counted.
    shadows: the candidate runs in addition to control and is compared with it.
    """

    percent: int = 0
    probes: bool = False
    shadows: bool = False
    lines: Lines = Lines.NONE

    def arm(self, bucket: float) -> Arm:
        """Return the arm that serves a targeting key.

        bucket: the key's bucket, from 0 to below 100.
        """
        return Arm.CANDIDATE if bucket < self.percent else Arm.CONTROL


def serving_at(stage: Stage, percent: int, hold_back_percent: int = 0) -> Serving:
    """Return how a stage serves.

    percent: the rollout's traffic share, which counts in PARTIAL_ACTIVE alone.
    hold_back_percent: the share of keys that control serves in FULL_ACTIVE: those that got the candidate last.
    """
    return {
        Stage.DISABLED: Serving(),
        Stage.DARK_MODE: Serving(probes=True),
        Stage.SHADOW_MODE: Serving(shadows=True),
        Stage.PARTIAL_ACTIVE: Serving(percent=percent, lines=Lines.PRIORITY),
        Stage.FULL_ACTIVE: Serving(percent=100 - hold_back_percent, lines=Lines.ALL),
    }[stage]


def decide(progress: Progress, plan: StagePlan, judgments: Sequence[Judgment], now: datetime) -> Decision:
    """Return what the tick at `now` does with a rollout."""
    if progress.run_state not in ACTIVE or progress.stage is Stage.DISABLED:
        return _stay(progress, "the rollout is not running")
    trip = decide_trip(
        progress.stage, judgments, progress.trip_errors, progress.blind_ticks, errors_in_a_row=plan.errors_in_a_row
    )
    if trip is not None:
        return Decision(Next.TRIP, trip.stage, 0, trip.reasons)
    if progress.run_state is RunState.PAUSED:
        return _stay(progress, f"the rollout is paused; run: manage.py rollout resume {progress.name}")
    if progress.run_state is RunState.DONE:
        return _stay(progress, "the rollout is done; its guards continue to watch")
    if not progress.is_serving:
        return _stay(progress, "serving is off, and this time does not count; run: manage.py reactivate serving")
    if (left := seconds_left(progress, plan, now)) > 0:
        return _stay(progress, f"{left:.0f} s are left")
    if progress.is_frozen:
        return _stay(progress, "automatic advances are frozen; run: manage.py rollout unfreeze")
    return _onward(progress, plan, judgments)


def _onward(progress: Progress, plan: StagePlan, judgments: Sequence[Judgment]) -> Decision:
    """Decide for a rollout whose time in its stage or percent step is over."""
    stage, percent = progress.stage, progress.percent
    higher = [each for each in plan.percents if each > percent]
    if worst(judgments) is not Verdict.PASS:
        lacking = [each for each in judgments if each.verdict is not Verdict.PASS and each.is_binding]
        return _stay(progress, *([describe_judgment(each) for each in lacking] or ["no guard was measured"]))
    if stage is Stage.PARTIAL_ACTIVE:
        small = [each for each in judgments if each.is_binding and each.step_samples < each.needed]
        if small:
            return _stay(progress, *(_describe_step_sample(each, percent) for each in small))
    reasons = tuple(map(describe_judgment, judgments))
    if stage is Stage.PARTIAL_ACTIVE and higher:
        return Decision(Next.STEP, stage, higher[0], (f"{percent} % of the traffic held for its time", *reasons))
    if stage is Stage.FULL_ACTIVE:
        return Decision(Next.FINISH, stage, percent, reasons)
    if plan.needs_approval and not progress.is_approved:
        reason = f"an operator must approve; run: manage.py rollout approve {progress.name}"
        return Decision(Next.WAIT, stage, percent, (reason,))
    return Decision(Next.ADVANCE, ORDER[ORDER.index(stage) + 1], percent, reasons)


def _describe_step_sample(judgment: Judgment, percent: int) -> str:
    return f"{judgment.name} has {judgment.step_samples:,} of {judgment.needed:,} samples at {percent} %"


def seconds_left(progress: Progress, plan: StagePlan, now: datetime) -> float:
    """Return the seconds left in the stage, or in its percent step; 0 when its time is over."""
    steps = len(plan.percents) if progress.stage is Stage.PARTIAL_ACTIVE and plan.percents else 1
    length = 60 * plan.minutes * progress.pace / steps
    in_effect = (now - progress.entered_at).total_seconds() - progress.paused_seconds - progress.idle_seconds
    return max(0.0, length - in_effect)


def percent_on_entry(stage: Stage, plan: StagePlan) -> int:
    """Return the traffic share, 0 to 100, with which a rollout enters this stage.

    plan: the plan of this stage.
    """
    if stage is Stage.FULL_ACTIVE:
        return 100
    return plan.percents[0] if stage is Stage.PARTIAL_ACTIVE and plan.percents else 0


def _stay(progress: Progress, *reasons: str) -> Decision:
    return Decision(Next.STAY, progress.stage, progress.percent, reasons)
