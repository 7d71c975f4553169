"""The guards of a rollout: what each measures, what it is compared with, and where its violation leads. Pure.

A guard is a metric, a comparison and a consequence. `rollout.decisions.judging` gives the verdicts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rollout.choices import Comparison, Consequence, Direction, Guard, Stage, Verdict
from rollout.decisions.counts import Counts
from rollout.decisions.latency import bucket_number

ALPHA = 0.001  # probability that the guards of a stage visit together condemn a candidate that keeps its limits
P95_SHARE = 0.95
FIRST_REQUESTS = 200  # of a visit, in which the count of errors judges
SEVERITY = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.VIOLATION]  # from the mildest to the worst

OWN_GUARDS = (Guard.OWN_SHARE, Guard.OWN_MEAN)
CALL_GUARDS = (Guard.ERRORS, Guard.ERROR_RATE, Guard.P95_MS, Guard.HIT_RATE)
GUARDS_BY_STAGE = {  # FEED_HEALTH comes in addition, in every stage but DISABLED
    Stage.DISABLED: (),
    Stage.DARK_MODE: (Guard.TRAFFIC, *CALL_GUARDS),
    Stage.SHADOW_MODE: (Guard.TRAFFIC, *CALL_GUARDS, Guard.LATENCY, Guard.MISMATCH_RATE, *OWN_GUARDS),
    Stage.PARTIAL_ACTIVE: (*CALL_GUARDS, Guard.LATENCY, Guard.ASSIGNMENT, *OWN_GUARDS),
    Stage.FULL_ACTIVE: (*CALL_GUARDS, Guard.LATENCY, *OWN_GUARDS),
}
AS_CONTROL = {Guard.ERROR_RATE, *OWN_GUARDS}  # the guards whose limit may be a ratio to control
COMPARED_AS_A_WHOLE = {Guard.LATENCY, Guard.ASSIGNMENT}  # by their distributions, so that no value is a limit
NEEDS_CONTROL = {Guard.LATENCY, Guard.ASSIGNMENT, *OWN_GUARDS}  # nothing to compare without requests of control


@dataclass(frozen=True, slots=True)
class Rule:
    """The policy of one guard that is switched on.

    at_most: a number of errors, ms, or a share from 0 to 1. A hit rate of at least 0.70 is written as a share of
        misses of at most 0.30.
    min_samples: the guard is INCONCLUSIVE below this sample.
    leads: where a violation leads.
    tolerance: against control, how many times as bad as control the candidate may be; 1: no worse.
    metric, worse: the name of one of the application's own metrics, and its bad direction.
    """

    guard: Guard
    at_most: float = 0.0
    min_samples: int = 50
    leads: Consequence = Consequence.DISABLE
    tolerance: float = 1.0
    metric: str = ""
    worse: Direction = Direction.HIGHER

    @property
    def name(self) -> str:
        """The name of the guard: that of its own metric, or of the guard."""
        return self.metric or self.guard.value

    @property
    def limit_share(self) -> float:
        """The largest share of bad ones, 0 to 1."""
        return 1 - P95_SHARE if self.guard is Guard.P95_MS else self.at_most

    def bad_and_total(self, counts: Counts, slow_bucket: int | None = None) -> tuple[int, int]:
        """Return how many of an arm's calls were bad by this guard, and how many were judged.

        slow_bucket: the latency bucket beyond which a call is slow, for LATENCY.
        """
        match self.guard:
            case Guard.ERROR_RATE:
                return counts.failing, counts.requests
            case Guard.P95_MS:
                return counts.slower_than(bucket_number(self.at_most)), counts.timed
            case Guard.LATENCY:
                return (0, 0) if slow_bucket is None else (counts.slower_than(slow_bucket), counts.timed)
            case Guard.HIT_RATE:
                return counts.misses, counts.hits + counts.misses
            case Guard.MISMATCH_RATE:
                return counts.mismatches, counts.compared
            case Guard.OWN_SHARE if moments := counts.own.get(self.metric):
                true = round(moments.total)
                return (true if self.worse is Direction.HIGHER else moments.n - true), moments.n
        return 0, 0


@dataclass(frozen=True, slots=True)
class Setting:
    """The circumstances in which the guards judge a stage visit.

    percent: the share that the candidate serves, which names the percent step.
    is_compared: whether control serves a part of the keys, or runs beside the candidate.
    first_requests: the count of errors judges so many requests of the candidate; None: always.
    hard_limit: the number of errors that the count allows.
    slow_bucket: the latency bucket of control's 95th percentile in the stage before; None if it was not measured.
    """

    stage: Stage
    percent: int = 0
    is_compared: bool = True
    first_requests: int | None = FIRST_REQUESTS
    hard_limit: int = 5
    slow_bucket: int | None = None

    @property
    def is_endless(self) -> bool:
        """Whether the stage has no end, so that its guards are bounded by false alarms per year."""
        return self.stage is Stage.FULL_ACTIVE


@dataclass(frozen=True, slots=True)
class Judgment:
    """The verdict of one guard, with its evidence.

    value, limit, control, bound: as an operator reads them: a hit rate is a share of hits. None if not measured.
        Against control, limit and bound are ratios to control's value.
    samples, control_samples: the number of observations behind the values; `needed` is the minimum.
    step_samples: those of the present percent step.
    bound: the worst value that the measurements do not rule out.
    leads: where a violation leads.
    metric, worse: the name of an own metric, and its bad direction; empty for the other guards.
    is_waived: whether there is nothing to measure here, so that the guard does not hold the rollout.
    note: why, in a short clause.
    """

    guard: Guard
    value: float | None
    limit: float
    samples: int
    verdict: Verdict
    leads: Consequence = Consequence.DISABLE
    metric: str = ""
    needed: int = 0
    step_samples: int = 0
    control: float | None = None
    control_samples: int = 0
    bound: float | None = None
    comparison: Comparison = Comparison.LIMIT
    is_waived: bool = False
    note: str = ""
    worse: Direction = Direction.HIGHER

    @property
    def name(self) -> str:
        """The name of the guard: that of its own metric, or of the guard."""
        return self.metric or self.guard.value

    @property
    def limit_value(self) -> float:
        """The limit in the unit of the value; 0 if it is a ratio to control, and control was not measured."""
        if self.comparison is Comparison.CONTROL:
            return self._times_control(self.limit) or 0.0
        return self.limit

    @property
    def bound_value(self) -> float | None:
        """The worst value that is not ruled out, in the unit of the value. Against control it is a ratio."""
        return self._times_control(self.bound) if self.comparison is Comparison.CONTROL else self.bound

    def _times_control(self, ratio: float | None) -> float | None:
        """Return the value at which the candidate is so many times as bad as control; None if that is not measured."""
        if self.control is None or ratio is None:
            return None
        is_lower_worse = self.worse is Direction.LOWER
        if self.guard is Guard.OWN_MEAN:
            return self.control + (ratio - 1) * abs(self.control) * (-1 if is_lower_worse else 1)
        return max(0.0, 1 - ratio * (1 - self.control)) if is_lower_worse else ratio * self.control

    @property
    def is_binding(self) -> bool:
        """Whether a verdict other than PASS has a consequence."""
        return self.leads is not Consequence.WARN and not self.is_waived


def limit_as_value(guard: Guard, limit: float, control: float | None) -> float | None:
    """Return the limit that the value may be compared with; None if no value is a limit, or if it is not known.

    limit: in the unit of the value, as `Judgment.limit_value`.
    control: control's value; None if it was not measured.
    """
    is_unknown = guard in AS_CONTROL and control is None and not limit
    return None if guard in COMPARED_AS_A_WHOLE or is_unknown else limit


def worst(judgments: Iterable[Judgment]) -> Verdict:
    """Return the worst verdict of the binding guards; INCONCLUSIVE if there is none."""
    verdicts = [judgment.verdict for judgment in judgments if judgment.is_binding]
    return max(verdicts, key=SEVERITY.index, default=Verdict.INCONCLUSIVE)


def guards_of(stage: Stage, *, has_hold_back: bool) -> tuple[Guard, ...]:
    """Return the guards that can be measured in a stage.

    has_hold_back: whether control serves a part of the keys in FULL_ACTIVE.
    """
    guards = GUARDS_BY_STAGE[stage]
    if stage is Stage.FULL_ACTIVE and not has_hold_back:
        return tuple(guard for guard in guards if guard not in NEEDS_CONTROL)
    return guards
