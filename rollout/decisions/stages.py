"""What becomes of a rollout next: it stays, advances, trips or finishes, and why. Pure.

Durations are deadlines from the moment a stage or a percent step was entered, plus the pauses since. A trip outranks
timers, approvals, pauses and the freeze switch. Leaving a stage takes its time and a PASS from this visit's own
measurements; a percent step takes its time and no violation.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.choices import Consequence, RunState, Stage, Verdict
from rollout.decisions.guards import Judged, worst

ROLLED_OUT = "derived-data"  # the rollout that the migrations make: of the consumer API
ORDER = list(Stage)
ACTIVE = {RunState.RUNNING, RunState.WAITING, RunState.PAUSED, RunState.DONE}  # guards watch in all of them


class Next(enum.Enum):
    STAY = "stay"
    ADVANCE = "advance"
    STEP = "step"  # the next percent of the same stage
    WAIT = "wait"  # for an approval
    TRIP = "trip"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Plan:
    """Of one stage. percents: shares of traffic, rising, which divide its time evenly. errors_in_a_row: guards that
    could not be measured so often are a violation.
    """

    minutes: float
    percents: tuple[int, ...] = ()
    needs_approval: bool = False
    errors_in_a_row: int = 6


@dataclass(frozen=True, slots=True)
class State:
    """A rollout as it stands. pace: 0.05 makes ten minutes half a minute. paused_seconds: since the percent step, or
    the stage, was entered. blind_ticks: in a row, at which a guard could not be measured.
    """

    stage: Stage
    run_state: RunState
    percent: int
    entered_at: datetime  # the stage, or its percent step
    paused_seconds: float = 0.0
    pace: float = 1.0
    is_approved: bool = False
    is_frozen: bool = False
    fell: int = 0  # the errors with which a hard limit fell, which is not written down yet
    blind_ticks: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """stage: where it goes, or stays. percent: of a step the share to come, else as it is."""

    next: Next
    stage: Stage
    percent: int
    reasons: tuple[str, ...] = ()


class Arm(enum.Enum):
    CONTROL = "control"
    CANDIDATE = "candidate"


class Lines(enum.Enum):
    """Which provider lines the API publishes."""

    NONE = "none"
    PRIORITY = "priority"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Serves:
    """What a stage answers with. percent: of the targeting keys that the candidate serves."""

    percent: int = 0
    probes: bool = False  # the cache is asked beside control, so that hits and misses count
    shadows: bool = False  # the candidate runs beside control and is compared
    lines: Lines = Lines.NONE

    def arm(self, bucket: float) -> Arm:
        """bucket: of the targeting key, 0 to 100."""
        return Arm.CANDIDATE if bucket < self.percent else Arm.CONTROL


def serves(stage: Stage, percent: int) -> Serves:
    """percent: the rollout's."""
    return {
        Stage.DISABLED: Serves(),
        Stage.DARK_MODE: Serves(probes=True),
        Stage.SHADOW_MODE: Serves(shadows=True),
        Stage.PARTIAL_ACTIVE: Serves(percent=percent, lines=Lines.PRIORITY),
        Stage.FULL_ACTIVE: Serves(percent=100, lines=Lines.ALL),
    }[stage]


def decide(state: State, plan: Plan, judged: Sequence[Judged], now: datetime) -> Decision:
    """What the tick is to do."""
    if state.run_state not in ACTIVE or state.stage is Stage.DISABLED:
        return _stay(state, "it does not run")
    if trip := _trip(state, plan, judged):
        return trip
    if state.run_state is RunState.PAUSED:
        return _stay(state, "it is paused")
    if state.run_state is RunState.DONE:
        return _stay(state, "it is done; the guards go on watching")
    if (left := seconds_left(state, plan, now)) > 0:
        return _stay(state, f"{left:.0f} s are left")
    if state.is_frozen:
        return _stay(state, "automatic advances are frozen")
    return _onward(state, plan, judged)


def _trip(state: State, plan: Plan, judged: Sequence[Judged]) -> Decision | None:
    fallen = [one for one in judged if one.verdict is Verdict.VIOLATION and one.leads is not Consequence.WARN]
    if state.fell or fallen:
        limit = (f"a hard limit fell, with {state.fell} errors",) if state.fell else ()
        # Nobody judges it here: it fell before an advance that raced it.
        back = bool(fallen) and all(one.leads is Consequence.STEP_BACK for one in fallen)
        stage = ORDER[ORDER.index(state.stage) - 1] if back else Stage.DISABLED
        return Decision(Next.TRIP, stage, 0, (*limit, *map(_said, fallen)))
    if state.blind_ticks >= plan.errors_in_a_row:
        return Decision(
            Next.TRIP, Stage.DISABLED, 0, (f"the guards could not be measured {state.blind_ticks} times in a row",)
        )
    return None


def _onward(state: State, plan: Plan, judged: Sequence[Judged]) -> Decision:
    higher = [percent for percent in plan.percents if percent > state.percent]
    if state.stage is Stage.PARTIAL_ACTIVE and higher and worst(judged) is not Verdict.ERROR:
        return Decision(Next.STEP, state.stage, higher[0], (f"{state.percent} % held for its time",))
    if worst(judged) is not Verdict.PASS:
        lacking = [one for one in judged if one.verdict is not Verdict.PASS and one.leads is not Consequence.WARN]
        return _stay(state, *(tuple(map(_said, lacking)) or ("nothing was measured",)))
    if state.stage is Stage.FULL_ACTIVE:
        return Decision(Next.FINISH, state.stage, state.percent, tuple(map(_said, judged)))
    if plan.needs_approval and not state.is_approved:
        return Decision(Next.WAIT, state.stage, state.percent, ("somebody has to approve",))
    following = ORDER[ORDER.index(state.stage) + 1]
    return Decision(Next.ADVANCE, following, state.percent, tuple(map(_said, judged)))


def seconds_left(state: State, plan: Plan, now: datetime) -> float:
    """Of the stage, or of its percent step; 0 when its time is over."""
    steps = len(plan.percents) if state.stage is Stage.PARTIAL_ACTIVE and plan.percents else 1
    length = timedelta(minutes=plan.minutes * state.pace / steps)
    deadline = state.entered_at + length + timedelta(seconds=state.paused_seconds)
    return max(0.0, (deadline - now).total_seconds())


def share_on_entry(stage: Stage, plan: Plan) -> int:
    """The share of traffic that a stage begins with; plan: its own."""
    if stage is Stage.FULL_ACTIVE:
        return 100
    return plan.percents[0] if stage is Stage.PARTIAL_ACTIVE and plan.percents else 0


def _stay(state: State, *reasons: str) -> Decision:
    return Decision(Next.STAY, state.stage, state.percent, reasons)


def _said(one: Judged) -> str:
    value = "not measured" if one.value is None else f"{one.value:.4g}"
    return f"{one.guard.value} {value}, limit {one.limit:.4g}, on {one.samples}: {one.verdict.value}"
