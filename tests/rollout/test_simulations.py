"""The formulas that the benchmarks simulate are those that Slipway runs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import _evidence as simulated
from bench._judged import first_violations, judge_run
from bench._peer_tests import sequential_low
from bench._stage import FAR_FROM_LIMIT, Scenario, simulate
from bench._week import Detector
from rollout.choices import Stage
from rollout.decisions.statistics import bands, detection, evidence
from tests.rollout.visits import RULES

ALPHA = 0.05
TOLERANCE = 1.2
Add = Callable[[evidence.State, int, int, int, int, float], evidence.State]
Counts = NDArray[np.int64]
Share = float | NDArray[np.float64]  # 0 to 1; an array has one share per slot
State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Slots:
    """The counts of closed slots, each of shape (runs, slots)."""

    bad: Counts
    total: Counts
    control_bad: Counts
    control_total: Counts


def simulate_slots(
    shape: tuple[int, int],
    requests: int,
    share: Share,
    rate: Share,
    control_rate: Share,
    chance: np.random.Generator,
) -> Slots:
    """Return the counts of `shape` (runs, slots). Each request goes to the candidate by chance.

    requests: of both arms, per slot.
    share: of the requests that go to the candidate. rate, control_rate: of the arm's requests that are bad.
    """
    total = chance.binomial(requests, share, shape)
    control_total = requests - total
    return Slots(chance.binomial(total, rate), total, chance.binomial(control_total, control_rate), control_total)


def first_looks(
    slots: Slots,
    start: State,
    add: Callable[[State, int, int, int, int], State],
    value: Callable[[State], float],
    alarm: float,
) -> list[int]:
    """Return the number of the first slot of each run at which `value` reaches `alarm`, from 1; 0 for none.

    start, add, value: the state before the first slot, and the functions of rollout/decisions that Slipway runs.
    """
    columns = (slots.bad, slots.total, slots.control_bad, slots.control_total)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [_first_look(list(zip(*row, strict=True)), start, add, value, alarm) for row in rows]


def _first_look(
    run: Sequence[tuple[int, int, int, int]],
    state: State,
    add: Callable[[State, int, int, int, int], State],
    value: Callable[[State], float],
    alarm: float,
) -> int:
    for slot, (bad, total, control_bad, control_total) in enumerate(run, 1):
        state = add(state, bad, total, control_bad, control_total)
        if value(state) >= alarm:
            return slot
    return 0


def with_tolerance(add: Add, state: evidence.State, bad: int, total: int, other: int, others: int) -> evidence.State:
    return add(state, bad, total, other, others, TOLERANCE)


def add_limited(state: evidence.State, bad: int, total: int, _other: int, _others: int) -> evidence.State:
    return detection.detect_limit(state, bad, total, 0.05)


@pytest.fixture(scope="module", params=[0.01, 0.5])
def slots(request: pytest.FixtureRequest) -> Slots:
    """Return 60 runs with slots of two steps; some slots have no request of one arm."""
    share = np.repeat([0.02, request.param], 20)
    return simulate_slots((60, 40), 60, share, 0.1, 0.03, np.random.default_rng(1))


def test_the_evidence_against_a_limit_is_the_same(slots: Slots) -> None:
    bad, total = slots.bad.cumsum(axis=1), slots.total.cumsum(axis=1)
    fast = simulated.log_mean(simulated.limit_ratios(bad, total, 0.03))
    shipped = [
        evidence.limit_evidence(x, n, 0.03) for x, n in zip(bad.ravel().tolist(), total.ravel().tolist(), strict=True)
    ]
    assert fast.ravel() == pytest.approx(shipped, abs=1e-9)


@pytest.mark.parametrize("alarm", [1.0, -math.log(ALPHA), 50.0])
def test_the_first_alarm_against_control_is_the_same(slots: Slots, alarm: float) -> None:
    ratios = simulated.control_ratios(slots.bad, slots.total, slots.control_bad, slots.control_total, TOLERANCE)
    fast = simulated.first_slots(simulated.evidence_at_each_slot(ratios), alarm)
    add = partial(with_tolerance, evidence.add_slot)
    assert fast.tolist() == first_looks(slots, evidence.NO_EVIDENCE, add, evidence.log_evidence, alarm)


@pytest.mark.parametrize("alarm", [1.0, 5.0, 50.0])
def test_the_first_alarm_of_the_detectors_is_the_same(slots: Slots, alarm: float) -> None:
    ratios = simulated.control_ratios(slots.bad, slots.total, slots.control_bad, slots.control_total, TOLERANCE)
    fast = simulated.first_slots(simulated.detection_at_each_slot(ratios, slots.bad), alarm)
    add = partial(with_tolerance, detection.detect_against)
    assert fast.tolist() == first_looks(slots, detection.NO_DETECTION, add, detection.log_detection, alarm)
    limited = simulated.limit_ratios(slots.bad, slots.total, 0.05)
    fast = simulated.first_slots(simulated.detection_at_each_slot(limited, slots.bad), alarm)
    assert fast.tolist() == first_looks(slots, detection.NO_DETECTION, add_limited, detection.log_detection, alarm)


def test_the_verdicts_on_latencies_are_the_same() -> None:
    chance = np.random.default_rng(2)
    candidate = chance.multinomial(40, [0.1, 0.2, 0.3, 0.4], (30, 40)).cumsum(axis=1)
    control = chance.multinomial(60, [0.4, 0.3, 0.2, 0.1], (30, 40)).cumsum(axis=1)
    fast = simulated.is_slower(candidate, control, ALPHA)
    shipped = [
        bands.slowdown(dict(enumerate(row)), dict(enumerate(control_row)), ALPHA) is not None
        for row, control_row in zip(candidate.reshape(-1, 4).tolist(), control.reshape(-1, 4).tolist(), strict=True)
    ]
    assert 0 < sum(shipped) < len(shipped)
    assert fast.ravel().tolist() == shipped


def test_the_first_alarm_of_a_week_is_the_same(slots: Slots) -> None:
    guards, logs = 1e-5, np.log1p(simulated.EXCESS * 0.05)
    weeks = Detector(len(slots.bad), guards)
    for slot, (bad, total) in enumerate(zip(slots.bad.T, slots.total.T, strict=True)):
        weeks.look(bad[:, None] * simulated.LOG_M - total[:, None] * logs, bad, slot, is_closed=True)
    alarm = math.log(guards * detection.SLOTS_PER_YEAR)
    assert weeks.first.any()
    assert weeks.first.tolist() == first_looks(
        slots, detection.NO_DETECTION, add_limited, detection.log_detection, alarm
    )


@pytest.mark.parametrize(
    ("counts", "low", "strict_low"),  # at levels of 0.05 and 0.001, as gbstats 0.8.0 returns them
    [
        ((12, 1000, 5, 1000), -0.005815491701001397, -0.010522910326171902),
        ((60, 2000, 20, 18000), 0.016935432263393044, 0.012539523503772614),
        ((3, 150, 40, 9000), -0.019435654270555065, -0.03279968586908348),
        ((400, 20000, 300, 20000), 0.0007888255578205328, -0.0006916835773848372),
    ],
)
def test_the_test_of_growthbook_is_the_published_one(
    counts: tuple[int, int, int, int], low: float, strict_low: float
) -> None:
    bad, total, control_bad, control_total = (np.array([count], float) for count in counts)
    assert sequential_low(bad, total, control_bad, control_total, 0.05).tolist() == pytest.approx([low])
    assert sequential_low(bad, total, control_bad, control_total, 0.001).tolist() == pytest.approx([strict_low])


@pytest.mark.parametrize(("stage", "hold_back"), [("SHADOW_MODE", 0), ("PARTIAL_ACTIVE", 0), ("FULL_ACTIVE", 5)])
def test_the_first_violations_of_a_visit_are_those_of_the_whole_judge(stage: str, hold_back: int) -> None:
    slower = replace(FAR_FROM_LIMIT, times=2.0)
    scenario = Scenario(Stage(stage), 10, 0.02, times=3.0, latencies=slower, hold_back=hold_back)
    looks, rules = simulate(scenario, 2, np.random.default_rng(3)), list(RULES.values())
    first = first_violations(looks, rules)
    assert sum(alarms.any() for alarms in first.values()) >= 2
    for run in range(2):
        judged = judge_run(looks, run, rules)
        assert {name: alarms[run] for name, alarms in first.items()} == {name: judged[name] for name in first}
