"""The formulas that the benchmarks simulate are those that Slipway runs."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from bench import _evidence as simulated
from bench._stage import Slots, first_looks, simulate_slots
from rollout.decisions.statistics import bands, detection, evidence

ALPHA = 0.05
TOLERANCE = 1.2
Add = Callable[[evidence.State, int, int, int, int, float], evidence.State]


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
