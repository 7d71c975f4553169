"""The verdicts of the guards: how the measurements of a stage judge the candidate. Pure.

A missing measurement is never a PASS. A count of errors is a VIOLATION as soon as it exceeds its limit, even in a small
sample; a share or a percentile needs its minimum sample. In FULL_ACTIVE a fixed count condemns a healthy service with
much traffic and passes a broken one with little, so there the error rate relative to control replaces the count once
it has its sample.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rollout.choices import Consequence, Guard, Stage, Verdict
from rollout.decisions import sequential
from rollout.decisions.latency import percentile_ms

ALPHA = 0.001  # probability of a false alarm of the relative guard, per run of its test
SEVERITY = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.VIOLATION]  # from the mildest to the worst
P95_SHARE = 0.95

PROBE_GUARDS = (Guard.HIT_RATE,)
CANDIDATE_GUARDS = (Guard.ERRORS, Guard.P95_MS, Guard.HIT_RATE)
GUARDS_BY_STAGE = {  # FEED_HEALTH comes in addition, in every stage but DISABLED
    Stage.DISABLED: (),
    Stage.DARK_MODE: PROBE_GUARDS,
    Stage.SHADOW_MODE: (*CANDIDATE_GUARDS, Guard.MISMATCH_RATE),
    Stage.PARTIAL_ACTIVE: CANDIDATE_GUARDS,
    Stage.FULL_ACTIVE: (*CANDIDATE_GUARDS, Guard.ERROR_RATE),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of one guard.

    at_most: a number of errors, ms, or a share from 0 to 1. A hit rate of at least 0.70 is written as a share of
        misses of at most 0.30. The limit of ERROR_RATE is the level of its test.
    min_samples: the guard is INCONCLUSIVE below this sample.
    leads: where a violation leads.
    """

    at_most: float
    min_samples: int = 50
    is_on: bool = True
    leads: Consequence = Consequence.DISABLE


@dataclass(frozen=True, slots=True)
class Counts:
    """The observations of one arm, over a stage visit or its window.

    compared: shadow runs whose input was the same as control's; `mismatches` of them had another value.
    dropped: observations that were lost, so that the other counts are too small.
    latencies: number of calls by bucket of `rollout.decisions.latency`.
    """

    requests: int = 0
    errors: int = 0
    hits: int = 0
    misses: int = 0
    compared: int = 0
    mismatches: int = 0
    dropped: int = 0
    latencies: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurements:
    """The measurements that the guards judge.

    candidate: None if the counts could not be read.
    control: the fixed sample that was taken at the end of PARTIAL_ACTIVE.
    feeds: the number of watched feeds and of those in error; None if no app registered feeds.
    """

    candidate: Counts | None
    control: Counts = Counts()
    feeds: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Judgment:
    """The verdict of one guard, with its evidence.

    value, limit: as an operator reads them: a hit rate is a share of hits. `value` is None if nothing was measured.
    samples: the number of observations behind the value.
    leads: where a violation leads.
    """

    guard: Guard
    value: float | None
    limit: float
    samples: int
    verdict: Verdict
    leads: Consequence = Consequence.DISABLE

    @property
    def is_binding(self) -> bool:
        """Whether a verdict other than PASS has a consequence; a guard that only warns has none."""
        return self.leads is not Consequence.WARN


def judge(stage: Stage, measurements: Measurements, limits: Mapping[Guard, Limit]) -> list[Judgment]:
    """Return the judgment of each guard that is switched on and applies to this stage."""
    if stage is Stage.DISABLED:
        return []
    guards = [guard for guard in (*GUARDS_BY_STAGE[stage], Guard.FEED_HEALTH) if limits[guard].is_on]
    judgments = {guard: _judge(guard, measurements, limits[guard]) for guard in guards}
    relative = judgments.get(Guard.ERROR_RATE)
    if relative is not None and relative.is_binding:  # if it only warns, the count of errors has to protect
        if relative.verdict in (Verdict.PASS, Verdict.VIOLATION):
            judgments.pop(Guard.ERRORS, None)
        elif Guard.ERRORS in judgments:
            del judgments[Guard.ERROR_RATE]  # the count decides until the relative guard has its sample
    return list(judgments.values())


def worst(judgments: Iterable[Judgment]) -> Verdict:
    """Return the worst verdict of the binding guards; INCONCLUSIVE if there is none."""
    verdicts = [judgment.verdict for judgment in judgments if judgment.is_binding]
    return max(verdicts, key=SEVERITY.index, default=Verdict.INCONCLUSIVE)


def format_value(guard: Guard, value: float | None) -> str:
    """Return a guard's value with its unit, for an operator; a dash if nothing was measured."""
    if value is None:
        return "–"
    if guard is Guard.ERRORS:
        return f"{value:.0f}"
    if guard is Guard.P95_MS:
        return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"
    return f"{100 * value:.3g} %"


def format_limit(judgment: Judgment) -> str:
    """Return a guard's limit with its unit and direction, as `≤ 1,000 ms`."""
    direction = "≥" if judgment.guard is Guard.HIT_RATE else "≤"
    return f"{direction} {format_value(judgment.guard, judgment.limit)}"


def describe_judgment(judgment: Judgment) -> str:
    """Return a judgment in one line, as `hit_rate 33.3 % (limit ≥ 70 %, 60 samples): VIOLATION`."""
    value = "not measured" if judgment.value is None else format_value(judgment.guard, judgment.value)
    limit, samples = format_limit(judgment), f"{judgment.samples:,} samples"
    return f"{judgment.guard.value} {value} (limit {limit}, {samples}): {judgment.verdict.value}"


def _judge(guard: Guard, measurements: Measurements, limit: Limit) -> Judgment:
    if guard is Guard.FEED_HEALTH:
        return _judge_feeds(measurements.feeds, limit)
    counts = measurements.candidate
    if counts is None or counts.dropped:
        return Judgment(guard, None, _as_read(guard, limit.at_most), 0, Verdict.ERROR, limit.leads)
    if guard is Guard.ERROR_RATE:
        return _judge_error_rate(counts, measurements.control, limit)
    value, samples = _reading(guard, counts)
    if guard is Guard.ERRORS and value is not None and value > limit.at_most:
        verdict = Verdict.VIOLATION  # an error too many is one in any sample
    else:
        verdict = _compare(value, samples, limit)
    value_as_read = None if value is None else _as_read(guard, value)
    return Judgment(guard, value_as_read, _as_read(guard, limit.at_most), samples, verdict, limit.leads)


def _reading(guard: Guard, counts: Counts) -> tuple[float | None, int]:
    """Return the value that must be at most the limit, and its sample."""
    if guard is Guard.ERRORS:
        return float(counts.errors), counts.requests
    if guard is Guard.P95_MS:
        return percentile_ms(counts.latencies, P95_SHARE), sum(counts.latencies.values())
    part, whole = {
        Guard.HIT_RATE: (counts.misses, counts.hits + counts.misses),
        Guard.MISMATCH_RATE: (counts.mismatches, counts.compared),
    }[guard]
    return (part / whole if whole else None), whole


def _compare(value: float | None, samples: int, limit: Limit) -> Verdict:
    if value is None or samples < limit.min_samples:
        return Verdict.INCONCLUSIVE
    return Verdict.PASS if value <= limit.at_most else Verdict.VIOLATION


def _judge_error_rate(counts: Counts, control: Counts, limit: Limit) -> Judgment:
    """Judge the candidate's error rate against control's.

    limit: its `at_most` is the level of the test. The limit of the judgment is the upper bound of control's rate.
    """
    bound = sequential.upper_bound(control.errors, control.requests, limit.at_most / 2)
    rate = counts.errors / counts.requests if counts.requests else None
    samples = min(counts.requests, control.requests)
    verdict = Verdict.PASS
    if samples < limit.min_samples:
        verdict = Verdict.INCONCLUSIVE
    elif sequential.is_worse(counts.errors, counts.requests, control.errors, control.requests, limit.at_most):
        verdict = Verdict.VIOLATION
    return Judgment(Guard.ERROR_RATE, rate, bound, samples, verdict, limit.leads)


def _judge_feeds(feeds: tuple[int, int] | None, limit: Limit) -> Judgment:
    if feeds is None:
        return Judgment(Guard.FEED_HEALTH, None, limit.at_most, 0, Verdict.ERROR, limit.leads)
    watched, failing = feeds
    share = failing / watched if watched else None
    return Judgment(Guard.FEED_HEALTH, share, limit.at_most, watched, _compare(share, watched, limit), limit.leads)


def _as_read(guard: Guard, value: float) -> float:
    """Return a value as an operator reads it: a share of misses as a hit rate, all others as they are."""
    return 1 - value if guard is Guard.HIT_RATE else value
