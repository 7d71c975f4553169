"""Simulated stage visits: what each arm counts from one look of the control loop to the next."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rollout.choices import Stage
from rollout.decisions.guards import FIRST_REQUESTS
from rollout.decisions.latency import LARGEST_BUCKET, bound_ms, bucket_number
from rollout.decisions.stages import serving_at
from rollout.decisions.trips import hard_limit

Counts = NDArray[np.int64]
Array = NDArray[np.float64]
LOOK_SECONDS = 5  # from tick to tick; two looks are a slot
ERRORS_AT_MOST = 5
MINUTES = {Stage.SHADOW_MODE: 15, Stage.PARTIAL_ACTIVE: 20, Stage.FULL_ACTIVE: 60}
MINUTES_BEFORE = {Stage.SHADOW_MODE: 10, Stage.PARTIAL_ACTIVE: 15, Stage.FULL_ACTIVE: 20}  # of the stage before
PERCENTS = (10, 25, 50)
CONTROL_BEFORE = {Stage.SHADOW_MODE: 1.0, Stage.PARTIAL_ACTIVE: 1.0, Stage.FULL_ACTIVE: 1 - sum(PERCENTS) / 300}
MISSES, MISMATCHES = 0.25, 0.005  # shares of a healthy candidate; their limits are 0.30 and 0.01
BURST_MINUTES, BURST_SHARE = 30, 0.02
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)  # of control, between the simulated buckets


@dataclass(frozen=True, slots=True)
class Latencies:
    """A log-normal distribution of control's latencies; the candidate's are `times` as long.

    quantiles: of control, between the buckets that are simulated, in addition to the limit of 1,000 ms.
    """

    median_ms: float
    sigma: float
    times: float = 1.0
    quantiles: tuple[float, ...] = QUANTILES

    def buckets(self) -> list[int]:
        """Return the numbers of the latency buckets that are simulated; each stands for those below it, too."""
        quantiles = [self.median_ms * math.exp(self.sigma * NormalDist().inv_cdf(share)) for share in self.quantiles]
        return sorted({bucket_number(ms) for ms in (*quantiles, 1000.0)} | {LARGEST_BUCKET})

    def shares(self, *, is_candidate: bool) -> list[float]:
        """Return the share of an arm's calls in each of the buckets."""
        median = self.median_ms * (self.times if is_candidate else 1.0)
        below = [NormalDist(math.log(median), self.sigma).cdf(math.log(bound_ms(each))) for each in self.buckets()]
        edges = [0.0, *below[:-1], 1.0]
        return [high - low for low, high in pairwise(edges)]


CLOSE_TO_LIMIT = Latencies(50, math.log(20) / NormalDist().inv_cdf(0.96))  # 4 % take more than 1,000 ms
ONLY_LIMIT = replace(CLOSE_TO_LIMIT, quantiles=())
FAR_FROM_LIMIT = Latencies(50, math.log(4) / NormalDist().inv_cdf(0.95))  # 5 % take more than 200 ms


@dataclass(frozen=True, slots=True)
class Scenario:
    """The traffic of one stage visit.

    requests: per second, of both arms together; in SHADOW_MODE each goes to both.
    errors: share of control's requests, 0 to 1. pattern: "steady", "day and night" or "half an hour".
    times: how many times as many errors the candidate has.
    hold_back: the percent of keys that control serves in FULL_ACTIVE.
    """

    stage: Stage
    requests: float
    errors: float
    pattern: str = "steady"
    times: float = 1.0
    latencies: Latencies = ONLY_LIMIT
    hold_back: int = 0

    @property
    def looks(self) -> int:
        """The number of looks in the visit."""
        return MINUTES[self.stage] * 60 // LOOK_SECONDS

    @property
    def is_compared(self) -> bool:
        """Whether control runs beside the candidate."""
        return self.stage is not Stage.FULL_ACTIVE or self.hold_back > 0

    @property
    def requests_before(self) -> float:
        """The mean number of control's requests in the stage before."""
        return self.requests * MINUTES_BEFORE[self.stage] * 60 * CONTROL_BEFORE[self.stage]

    def percents(self) -> Counts:
        """Return the percent step of each look."""
        if self.stage is Stage.PARTIAL_ACTIVE:
            return np.repeat(PERCENTS, self.looks // len(PERCENTS))
        return np.full(self.looks, serving_at(self.stage, 100, self.hold_back).percent)


@dataclass(frozen=True, slots=True)
class Looks:
    """The counts from look to look, of shape (runs, looks), and for latencies (runs, looks, buckets).

    first_errors: the candidate's errors in its first 200 requests.
    before_total, before_errors: control's requests and errors in the stage before, of each run.
    hard_limit, slow: of each run, from that sample: the limit of errors, and the position of the bucket of control's
        95th percentile.
    """

    scenario: Scenario
    total: Counts
    errors: Counts
    first_errors: Counts
    misses: Counts
    mismatches: Counts
    latencies: Counts
    control_total: Counts
    control_errors: Counts
    control_latencies: Counts
    before_total: Counts
    before_errors: Counts
    hard_limit: Counts
    slow: Counts

    def slower_than(self, ms: float) -> Counts:
        """Return the candidate's calls that took longer than this; `ms` is the bound of a simulated bucket."""
        slower = self.scenario.latencies.buckets().index(bucket_number(ms)) + 1
        return np.asarray(self.latencies[:, :, slower:].sum(axis=2))


def simulate(scenario: Scenario, runs: int, chance: np.random.Generator) -> Looks:
    """Return the counts of `runs` visits. Requests come at random moments, and go to an arm by chance."""
    shape = runs, scenario.looks
    requests = chance.poisson(scenario.requests * LOOK_SECONDS, shape)
    if scenario.stage is Stage.SHADOW_MODE:
        total = control_total = requests
    else:
        total = chance.binomial(requests, scenario.percents() / 100)
        control_total = requests - total
    shares, shares_before = _error_shares(scenario, runs, chance)
    errors = chance.binomial(total, np.minimum(1.0, scenario.times * shares))
    before = chance.poisson(scenario.requests_before, runs)
    before_errors = chance.binomial(before, shares_before)
    counted = chance.multinomial(before, scenario.latencies.shares(is_candidate=False)).cumsum(axis=1)
    latencies = scenario.latencies
    return Looks(
        scenario,
        total,
        errors,
        _first_errors(total, errors, chance),
        chance.binomial(total, MISSES),
        chance.binomial(total, MISMATCHES),
        chance.multinomial(total, latencies.shares(is_candidate=True)),
        control_total,
        chance.binomial(control_total, shares),
        chance.multinomial(control_total, latencies.shares(is_candidate=False)),
        before,
        before_errors,
        _hard_limits(before, before_errors),
        (counted >= np.ceil(0.95 * before)[:, None]).argmax(axis=1),
    )


def _error_shares(scenario: Scenario, runs: int, chance: np.random.Generator) -> tuple[Array, Array]:
    """Return control's share of errors at each look, shape (runs, looks), and its mean in the stage before."""
    times = np.arange(scenario.looks) * LOOK_SECONDS / 60  # minutes since the visit began
    before = np.arange(-MINUTES_BEFORE[scenario.stage], 0, LOOK_SECONDS / 60)
    if scenario.pattern == "day and night":
        phase = chance.uniform(0, 2 * np.pi, (runs, 1))

        def share(minutes: Array) -> Array:
            return np.asarray(scenario.errors * (1 + 0.9 * np.sin(phase + 2 * np.pi * minutes / 1440)))
    elif scenario.pattern == "half an hour":
        begin = chance.uniform(-BURST_MINUTES, MINUTES[scenario.stage], (runs, 1))

        def share(minutes: Array) -> Array:
            is_burst = (begin <= minutes) & (minutes < begin + BURST_MINUTES)
            return np.where(is_burst, BURST_SHARE, scenario.errors)
    else:

        def share(minutes: Array) -> Array:
            return np.full((runs, len(minutes)), scenario.errors)

    return share(times), share(before).mean(axis=1)


def _hard_limits(totals: Counts, errors: Counts) -> Counts:
    """Return the limits of errors that follow from control's samples of the stage before."""
    samples = zip(totals.tolist(), errors.tolist(), strict=True)
    return np.array([hard_limit(ERRORS_AT_MOST, FIRST_REQUESTS, *sample) for sample in samples])


def _first_errors(total: Counts, errors: Counts, chance: np.random.Generator) -> Counts:
    """Return how many errors of each look are in the first 200 requests of the visit."""
    before = total.cumsum(axis=1) - total
    room = np.clip(FIRST_REQUESTS - before, 0, total)
    is_split = (room > 0) & (room < total)
    first = np.where(room == total, errors, 0)
    first[is_split] = chance.hypergeometric(errors[is_split], (total - errors)[is_split], room[is_split])
    return first
