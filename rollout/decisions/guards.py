"""What the measurements of a stage say of the candidate: a verdict per guard. Pure.

Nothing measured is never a pass. A plain count of errors is a violation as soon as it is exceeded, whatever the
sample; a share or a percentile only with its minimum sample. In FULL_ACTIVE the count condemns a healthy service
with much traffic and clears a sick one with little, so there the rate relative to control takes over once it has its
sample.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rollout.choices import Consequence, Guard, Stage, Verdict
from rollout.decisions import sequential
from rollout.decisions.latency import percentile

ALPHA = 0.001  # false alarms of the relative guard, per run of its test
SEVERITY = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.VIOLATION]
SHARE = 0.95

PROBES = (Guard.HIT_RATE,)
CANDIDATE = (Guard.ERRORS, Guard.P95_MS, Guard.HIT_RATE)
JUDGED = {  # beside feed health, which is judged wherever anything is
    Stage.DISABLED: (),
    Stage.DARK_MODE: PROBES,
    Stage.SHADOW_MODE: (*CANDIDATE, Guard.MISMATCH_RATE),
    Stage.PARTIAL_ACTIVE: CANDIDATE,
    Stage.FULL_ACTIVE: (*CANDIDATE, Guard.ERROR_RATE),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """at_most: errors, ms, or a share from 0 to 1; a hit rate of 0.70 or more is asked as misses of 0.30 or less."""

    at_most: float
    min_samples: int = 50
    is_on: bool = True
    leads: Consequence = Consequence.DISABLE


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one arm, over a stage visit or a window. latencies: buckets of `histogram`. compared: with the same input."""

    requests: int = 0
    errors: int = 0
    hits: int = 0
    misses: int = 0
    compared: int = 0
    mismatches: int = 0
    dropped: int = 0  # measurements that were lost
    latencies: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """candidate: None where the metrics could not be read. control: the fixed sample of PARTIAL_ACTIVE. feeds: watched
    and in error; None where nobody could tell.
    """

    candidate: Counts | None
    control: Counts = Counts()
    feeds: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """value and limit as people read them: a hit rate as a share of hits. value: None where nothing was measured."""

    guard: Guard
    value: float | None
    limit: float
    samples: int
    verdict: Verdict
    leads: Consequence = Consequence.DISABLE


def judge(stage: Stage, measured: Measured, limits: Mapping[Guard, Limit]) -> list[Judged]:
    """Each guard that is on, and judged at this stage."""
    if stage is Stage.DISABLED:
        return []
    guards = [guard for guard in (*JUDGED[stage], Guard.FEED_HEALTH) if limits[guard].is_on]
    judged = {guard: _judge(guard, measured, limits[guard]) for guard in guards}
    relative = judged.get(Guard.ERROR_RATE)
    if relative and relative.leads is Consequence.WARN:
        pass  # it takes nothing back, so the count has to
    elif relative and relative.verdict in (Verdict.PASS, Verdict.VIOLATION):
        judged.pop(Guard.ERRORS, None)
    elif relative and Guard.ERRORS in judged:
        del judged[Guard.ERROR_RATE]  # the count speaks until it has its sample
    return list(judged.values())


def worst(judged: Iterable[Judged]) -> Verdict:
    """Nothing judged is never a pass; a guard that only warns holds nothing up."""
    verdicts = [one.verdict for one in judged if one.leads is not Consequence.WARN]
    return max(verdicts, key=SEVERITY.index, default=Verdict.INCONCLUSIVE)


def _judge(guard: Guard, measured: Measured, limit: Limit) -> Judged:
    if guard is Guard.FEED_HEALTH:
        return _feeds(measured.feeds, limit)
    counts = measured.candidate
    if counts is None or counts.dropped:
        return Judged(guard, None, _shown(guard, limit.at_most), 0, Verdict.ERROR, limit.leads)
    if guard is Guard.ERROR_RATE:
        return _error_rate(counts, measured.control, limit)
    value, samples = _reading(guard, counts)
    verdict = _compare(value, samples, limit, is_count=guard is Guard.ERRORS)
    shown = None if value is None else _shown(guard, value)
    return Judged(guard, shown, _shown(guard, limit.at_most), samples, verdict, limit.leads)


def _reading(guard: Guard, counts: Counts) -> tuple[float | None, int]:
    """The value that is to be at most the limit, and what it was measured on."""
    if guard is Guard.ERRORS:
        return float(counts.errors), counts.requests
    if guard is Guard.P95_MS:
        return percentile(counts.latencies, SHARE), sum(counts.latencies.values())
    part, whole = {
        Guard.HIT_RATE: (counts.misses, counts.hits + counts.misses),
        Guard.MISMATCH_RATE: (counts.mismatches, counts.compared),
    }[guard]
    return (part / whole if whole else None), whole


def _compare(value: float | None, samples: int, limit: Limit, *, is_count: bool = False) -> Verdict:
    if is_count and value is not None and value > limit.at_most:
        return Verdict.VIOLATION
    if value is None or samples < limit.min_samples:
        return Verdict.INCONCLUSIVE
    return Verdict.PASS if value <= limit.at_most else Verdict.VIOLATION


def _error_rate(counts: Counts, control: Counts, limit: Limit) -> Judged:
    """limit: what control's rate is at most, shown; `at_most` is the level of the test."""
    bound = sequential.upper_bound(control.errors, control.requests, limit.at_most / 2)
    rate = counts.errors / counts.requests if counts.requests else None
    samples = min(counts.requests, control.requests)
    verdict = Verdict.PASS
    if samples < limit.min_samples:
        verdict = Verdict.INCONCLUSIVE
    elif sequential.is_worse(counts.errors, counts.requests, control.errors, control.requests, limit.at_most):
        verdict = Verdict.VIOLATION
    return Judged(Guard.ERROR_RATE, rate, bound, samples, verdict, limit.leads)


def _feeds(feeds: tuple[int, int] | None, limit: Limit) -> Judged:
    if feeds is None:
        return Judged(Guard.FEED_HEALTH, None, limit.at_most, 0, Verdict.ERROR, limit.leads)
    watched, failing = feeds
    share = failing / watched if watched else None
    return Judged(Guard.FEED_HEALTH, share, limit.at_most, watched, _compare(share, watched, limit), limit.leads)


def _shown(guard: Guard, value: float) -> float:
    return 1 - value if guard is Guard.HIT_RATE else value
