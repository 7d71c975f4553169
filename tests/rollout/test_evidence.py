"""The evidence against a limit, against control and against the assignment: e-values, exact and by simulation."""

import json
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from ville import BernoulliTest

from rollout.decisions.statistics.evidence import (
    ASSIGNMENT_ALARM,
    MULTIPLES,
    NO_EVIDENCE,
    add_slot,
    assignment_evidence,
    limit_evidence,
    log_evidence,
)

ALPHA = 0.05
SHARES = st.floats(1e-6, 0.99)
Slot = tuple[int, int, int, int]  # bad, total, control's bad, control's total
SLOTS = st.tuples(st.integers(1, 500), st.integers(1, 500), st.floats(0, 1), st.floats(0, 1)).map(
    lambda drawn: (int(drawn[0] * drawn[2]), drawn[0], int(drawn[1] * drawn[3]), drawn[1])
)


def evidence_of(slots: list[Slot], tolerance: float = 1.0) -> float:
    state = NO_EVIDENCE
    for slot in slots:
        state = add_slot(state, *slot, tolerance)
    return log_evidence(state)


def alarm_probability(rate: float, p0: float, requests: int) -> float:
    """Return the exact probability that a look after any single request finds 1 / ALPHA against `p0`."""
    alive, alarm, fewest = np.zeros(requests + 2), 0.0, 0
    alive[0] = 1.0
    for total in range(1, requests + 1):
        alive[1:] = alive[1:] * (1 - rate) + alive[:-1] * rate
        alive[0] *= 1 - rate
        while fewest <= total and limit_evidence(fewest, total, p0) < -math.log(ALPHA):
            fewest += 1
        alarm += alive[fewest:].sum()
        alive[fewest:] = 0
    return alarm


@pytest.mark.parametrize("p0", [0.001, 0.03, 0.3, 0.8])
@pytest.mark.parametrize("total", [1, 7, 60])
def test_within_the_limit_the_expected_evidence_is_at_most_one(p0: float, total: int) -> None:
    evidence = np.exp([limit_evidence(bad, total, p0) for bad in range(total + 1)])
    expected = {rate: stats.binom.pmf(range(total + 1), total, rate) @ evidence for rate in (p0, 0.7 * p0, 0.1 * p0)}
    assert expected[p0] == pytest.approx(1)
    assert max(expected.values()) <= 1 + 1e-9


@pytest.mark.parametrize("p0", [0.01, 0.1, 0.5])
def test_a_look_after_each_request_keeps_the_level_exactly(p0: float) -> None:
    assert ALPHA / 4 < alarm_probability(p0, p0, 800) <= ALPHA
    assert alarm_probability(0.8 * p0, p0, 800) < alarm_probability(p0, p0, 800)


@pytest.mark.parametrize(("p0", "requests"), [(0.01, 3000), (0.1, 300), (0.3, 60)])
def test_twice_the_limit_is_found(p0: float, requests: int) -> None:
    assert alarm_probability(2 * p0, p0, requests) > 0.85


def test_no_request_refutes_a_limit_of_one_and_a_bad_one_refutes_a_limit_of_zero() -> None:
    assert limit_evidence(0, 0, 0.1) == limit_evidence(0, 0, 0.0) == limit_evidence(0, 50, 0.0) == 0
    assert limit_evidence(1, 10**9, 0.0) == math.inf
    assert limit_evidence(50, 50, 1.0) == limit_evidence(50, 50, 1.5) == pytest.approx(0)
    assert limit_evidence(49, 50, 1.0) < 0


@given(SHARES, SHARES, st.integers(0, 300), st.integers(0, 3000))
def test_evidence_grows_with_bad_requests_and_falls_with_good_ones_and_with_the_limit(
    p0: float, other: float, bad: int, good: int
) -> None:
    evidence = limit_evidence(bad, bad + good, p0)
    assert limit_evidence(bad + 1, bad + good + 1, p0) > evidence
    assert limit_evidence(bad, bad + good + 1, p0) < evidence
    assert limit_evidence(bad, bad + good, max(p0, other)) <= limit_evidence(bad, bad + good, min(p0, other)) + 1e-9


@pytest.mark.parametrize(("bad", "total", "p0"), [(10**6, 10**9, 0.001), (10**9, 10**9, 0.5), (0, 10**9, 1e-9)])
def test_a_billion_requests_are_judged_as_exactly_as_with_fifty_digits(bad: int, total: int, p0: float) -> None:
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 50, 10**15, -(10**15)
        share = Decimal(p0)
        ratios = [Decimal(m) ** bad / (1 + (Decimal(m) - 1) * share) ** total for m in MULTIPLES]
        exact = float((sum(ratios, Decimal(0)) / len(ratios)).ln())
    assert limit_evidence(bad, total, p0) == pytest.approx(exact, rel=1e-12, abs=1e-5)


@pytest.mark.parametrize("tolerance", [1.0, 1.5])
@pytest.mark.parametrize("control_rate", [0.001, 0.05, 0.4])
@pytest.mark.parametrize(("total", "control_total"), [(3, 40), (20, 20), (40, 3)])
def test_as_bad_as_control_the_expected_evidence_of_a_slot_is_at_most_one(
    total: int, control_total: int, control_rate: float, tolerance: float
) -> None:
    def expected(rate: float) -> float:
        chances = stats.binom.pmf(range(total + 1), total, rate)
        control_chances = stats.binom.pmf(range(control_total + 1), control_total, control_rate)
        return math.fsum(
            chances[bad] * control_chances[control_bad] * math.exp(evidence_of([slot], tolerance))
            for bad in range(total + 1)
            for control_bad in range(control_total + 1)
            for slot in [(bad, total, control_bad, control_total)]
        )

    assert expected(tolerance * control_rate) <= 1 + 1e-9
    assert expected(0.5 * tolerance * control_rate) <= 1 + 1e-9
    if control_rate < 0.1:  # the more often requests are bad, the more the test errs on the candidate's side
        assert expected(3 * tolerance * control_rate) > 1


def simulate(ratio: float, *, runs: int, tolerance: float) -> float:
    """Return the share of runs with an alarm at a look after any of 90 slots, while traffic and control's rate vary."""
    chance = np.random.default_rng(5)
    totals = np.repeat([10, 50, 200], 30)
    control_rates = np.clip(0.01 + 0.04 * chance.random(90) + 0.2 * (chance.random(90) < 0.05), 0, 1)  # with incidents
    bad = chance.binomial(totals, np.minimum(1, ratio * control_rates), (runs, 90)).tolist()
    control_bad = chance.binomial(400 - totals, control_rates, (runs, 90)).tolist()
    alarms = 0
    for row, control_row in zip(bad, control_bad, strict=True):
        state = NO_EVIDENCE
        for slot in zip(row, totals.tolist(), control_row, (400 - totals).tolist(), strict=True):
            state = add_slot(state, *slot, tolerance)
            if log_evidence(state) >= -math.log(ALPHA):
                alarms += 1
                break
    return alarms / runs


@pytest.mark.parametrize("tolerance", [1.0, 1.5])
def test_a_look_after_each_slot_keeps_the_level_through_incidents_that_hit_both_arms(tolerance: float) -> None:
    assert simulate(tolerance, runs=1000, tolerance=tolerance) <= ALPHA
    assert simulate(2.5 * tolerance, runs=100, tolerance=tolerance) > 0.95


def test_a_slot_without_one_arm_or_without_a_bad_request_changes_nothing() -> None:
    state = add_slot(NO_EVIDENCE, 3, 10, 1, 90, 1.0)
    for slot in [(5, 9, 0, 0), (0, 0, 7, 9), (0, 10, 0, 90)]:
        assert add_slot(state, *slot, 1.0) == state


@given(st.lists(SLOTS, max_size=6))
def test_the_order_of_the_slots_does_not_matter(slots: list[Slot]) -> None:
    assert evidence_of(slots[::-1]) == pytest.approx(evidence_of(slots), abs=1e-6)


@given(SLOTS, st.integers(1, 20), st.floats(0.5, 5))
def test_slots_of_the_same_split_can_be_added_up(slot: Slot, times: int, tolerance: float) -> None:
    whole = tuple(times * count for count in slot)
    assert evidence_of([slot] * times, tolerance) == pytest.approx(
        evidence_of([(whole[0], whole[1], whole[2], whole[3])], tolerance), rel=1e-9, abs=1e-6
    )


@given(SLOTS, st.floats(0.5, 5), st.floats(1.01, 3))
def test_more_tolerance_is_less_evidence_and_control_acquits(slot: Slot, tolerance: float, factor: float) -> None:
    bad, total, control_bad, control_total = slot
    evidence = evidence_of([slot], tolerance)
    assert evidence_of([slot], factor * tolerance) <= evidence + 1e-9
    if control_bad < control_total:
        assert evidence_of([(bad, total, control_bad + 1, control_total)], tolerance) < evidence
    if bad < total:
        assert evidence_of([(bad + 1, total, control_bad, control_total)], tolerance) > evidence


@given(st.lists(SLOTS, max_size=6))
def test_a_state_survives_json(slots: list[Slot]) -> None:
    state = NO_EVIDENCE
    for slot in slots:
        assert add_slot(json.loads(json.dumps(state)), *slot, 1.0) == (state := add_slot(state, *slot, 1.0))


def test_the_evidence_of_an_assignment_is_the_ratio_of_two_distributions() -> None:
    counts, shares = (130, 95, 775), (0.1, 0.1, 0.8)
    expected = stats.dirichlet_multinomial.logpmf(counts, [100 * share for share in shares], 1000)
    expected -= stats.multinomial.logpmf(counts, 1000, shares)
    assert assignment_evidence(counts, shares) == pytest.approx(float(expected))


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.floats(0.01, 0.99), st.floats(1, 1000))
def test_with_two_arms_it_is_the_beta_binomial_test_of_another_author(
    assigned: list[bool], share: float, k: float
) -> None:
    theirs = BernoulliTest(share, prior=(k * share, k * (1 - share))).fit([float(unit) for unit in assigned])
    counts = sum(assigned), len(assigned) - sum(assigned)
    assert assignment_evidence(counts, (share, 1 - share), k) == pytest.approx(theirs.log_e_values_[-1], abs=1e-6)


def test_a_wrong_assignment_is_found_and_a_right_one_is_not() -> None:
    assert assignment_evidence((1000, 9000), (0.1, 0.9)) < 0
    assert assignment_evidence((1200, 8800), (0.1, 0.9)) > ASSIGNMENT_ALARM
    assert assignment_evidence((0, 0), (0.1, 0.9)) == 0
    assert assignment_evidence((0, 50), (0.0, 1.0)) == pytest.approx(0)
    assert assignment_evidence((1, 50), (0.0, 1.0)) == math.inf


def test_a_billion_assignments_are_judged_to_five_digits() -> None:
    half = assignment_evidence((500_000_000, 500_000_000), (0.5, 0.5))
    by_duplication = 0.5 * math.log(math.pi / (5e8 + 50)) - 99 * math.log(2)  # Legendre's formula of Gamma(2 z)
    assert half == pytest.approx(math.lgamma(100) - 2 * math.lgamma(50) + by_duplication, abs=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.25])
def test_a_look_at_the_assignment_after_each_batch_keeps_the_level(share: float) -> None:
    chance = np.random.default_rng(3)
    counts = chance.binomial(25, share, (1000, 40)).cumsum(axis=1)
    looks = 25 * np.arange(1, 41)
    evidence = [
        max(assignment_evidence((int(n), int(t - n)), (share, 1 - share)) for n, t in zip(row, looks, strict=True))
        for row in counts
    ]
    assert float(np.mean(np.array(evidence) >= -math.log(ALPHA))) <= ALPHA
