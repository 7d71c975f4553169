"""The detectors of a stage without an end: false alarms are as rare as promised, and a late change is found soon."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rollout.decisions.statistics.detection import (
    NO_DETECTION,
    SLOTS_PER_YEAR,
    detect_against,
    detect_limit,
    log_detection,
)
from rollout.decisions.statistics.evidence import MULTIPLES, NO_EVIDENCE, add_slot, limit_evidence, log_evidence

SLOTS_BETWEEN = 50  # false alarms, in these tests


def slots_to_alarm(bad: Sequence[int], total: int, p0: float, between: float = SLOTS_BETWEEN) -> int:
    state = NO_DETECTION
    for slot, count in enumerate(bad, 1):
        state = detect_limit(state, count, total, p0)
        if log_detection(state) >= math.log(between):
            return slot
    return len(bad)


def slots_to_alarm_against(
    bad: Sequence[int], total: int, control_bad: Sequence[int], control_total: int, between: float = SLOTS_BETWEEN
) -> int:
    state = NO_DETECTION
    for slot, (count, control_count) in enumerate(zip(bad, control_bad, strict=True), 1):
        state = detect_against(state, count, total, control_count, control_total, 1.0)
        if log_detection(state) >= math.log(between):
            return slot
    return len(bad)


@pytest.mark.parametrize(("total", "p0"), [(1, 0.3), (20, 0.02), (200, 0.01)])
def test_within_the_limit_an_alarm_comes_after_the_promised_number_of_slots_on_average(total: int, p0: float) -> None:
    bad = np.random.default_rng(6).binomial(total, p0, (200, 500)).tolist()
    assert np.mean([slots_to_alarm(row, total, p0) for row in bad]) >= SLOTS_BETWEEN


@pytest.mark.parametrize("rate", [0.002, 0.05])
def test_as_bad_as_control_an_alarm_comes_after_the_promised_number_of_slots_on_average(rate: float) -> None:
    chance = np.random.default_rng(7)
    bad, control_bad = chance.binomial(100, rate, (200, 500)).tolist(), chance.binomial(300, rate, (200, 500)).tolist()
    slots = [slots_to_alarm_against(row, 100, other, 300) for row, other in zip(bad, control_bad, strict=True)]
    assert np.mean(slots) >= SLOTS_BETWEEN


def test_after_t_slots_the_exact_expectation_is_at_most_t() -> None:
    total, p0, paths = 3, 0.2, [(1.0, NO_DETECTION)]
    chances = stats.binom.pmf(range(total + 1), total, p0)
    for slot in range(1, 6):
        paths = [
            (chance * chances[bad], detect_limit(state, bad, total, p0))
            for chance, state in paths
            for bad in range(total + 1)
        ]
        expected = sum(chance * math.exp(log_detection(state)) for chance, state in paths)
        assert 0.1 * slot < expected <= slot


def test_a_quiet_year_raises_no_alarm() -> None:
    """The rule of the paper, M becomes (M + 1) L, would count the slots here, and end in an alarm."""
    state, against = NO_DETECTION, NO_DETECTION
    for _ in range(1000):
        state, against = detect_limit(state, 0, 1, 1e-9), detect_against(against, 0, 100, 0, 100, 1.0)
    assert log_detection(state) < 0
    assert against == NO_DETECTION
    assert detect_against(against, 0, 100, 5, 100, 1.0) == NO_DETECTION


def test_a_late_change_is_found_soon_though_the_test_of_the_whole_past_still_trusts_the_candidate() -> None:
    chance = np.random.default_rng(8)
    past = chance.binomial(200, 0.005, 5000)
    bad = np.concatenate([past, chance.binomial(200, 0.05, 500)]).tolist()
    assert 5000 < slots_to_alarm(bad, 200, 0.01, SLOTS_PER_YEAR) <= 5004
    assert limit_evidence(int(past.sum() + 40), 200 * 5004, 0.01) < 0
    control_bad = chance.binomial(200, 0.005, 5500).tolist()
    assert 5000 < slots_to_alarm_against(bad, 200, control_bad, 200, SLOTS_PER_YEAR) <= 5006


SLOTS = st.tuples(st.integers(0, 20), st.integers(20, 200), st.integers(0, 20), st.integers(20, 200))


def sum_of_beginnings(slots: Sequence[tuple[int, int, int, int]]) -> float:
    """Return the mean over the alternatives of the evidence since each slot with a bad request of the candidate."""
    logarithms = []
    for begin, slot in enumerate(slots):
        if slot[0]:
            state = NO_EVIDENCE
            for later in slots[begin:]:
                state = add_slot(state, *later, 1.5)
            logarithms.append(log_evidence(state))
    return float(np.logaddexp.reduce(logarithms)) if logarithms else -math.inf


@given(st.lists(SLOTS, min_size=1, max_size=8))
def test_a_detector_is_the_sum_of_the_evidence_since_each_beginning(slots: list[tuple[int, int, int, int]]) -> None:
    state = NO_DETECTION
    for slot in slots:
        state = detect_against(state, *slot, 1.5)
    assert log_detection(state) == pytest.approx(max(sum_of_beginnings(slots), -1000), abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(3, 40)), min_size=1, max_size=30), st.floats(0.001, 0.9))
def test_a_detector_is_never_above_that_of_the_paper(slots: list[tuple[int, int]], p0: float) -> None:
    state, of_paper = NO_DETECTION, [0.0] * len(MULTIPLES)
    for bad, total in slots:
        state = detect_limit(state, bad, total, p0)
        of_paper = [
            (value + 1) * m**bad / (1 + (m - 1) * p0) ** total for m, value in zip(MULTIPLES, of_paper, strict=True)
        ]
    assert math.exp(log_detection(state)) <= sum(of_paper) / len(MULTIPLES) * (1 + 1e-9) + 1e-300


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(50, 10**9)), max_size=8), st.floats(0, 1))
def test_a_state_survives_json(slots: list[tuple[int, int]], p0: float) -> None:
    state = NO_DETECTION
    for bad, total in slots:
        following = detect_limit(state, bad, total, p0)
        assert detect_limit(json.loads(json.dumps(state, allow_nan=False)), bad, total, p0) == following
        assert all(math.isfinite(logarithm) for logarithm in following)
        state = following


def test_a_bad_request_refutes_a_limit_of_zero_at_once() -> None:
    assert log_detection(detect_limit(NO_DETECTION, 1, 10**9, 0.0)) > math.log(SLOTS_PER_YEAR)
    assert detect_limit(NO_DETECTION, 0, 10**9, 0.0) == NO_DETECTION


def test_a_slot_without_one_arm_changes_nothing() -> None:
    state = detect_against(NO_DETECTION, 3, 10, 1, 90, 1.0)
    assert detect_against(state, 5, 9, 0, 0, 1.0) == detect_against(state, 0, 0, 7, 9, 1.0) == state
