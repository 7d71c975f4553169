"""The test of the error rate against control: its level is kept at any number of looks; a bad candidate is found."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.decisions.sequential import divergence, evidence, is_worse, upper_bound

ALPHA = 0.05  # higher than the default, so that few runs show whether it is kept


def alarm_share(rate: float, control_rate: float, *, requests: int, runs: int, look_interval: int = 20) -> float:
    """Return the share of runs in which at least one look, made every `look_interval` requests, raises an alarm."""
    chance, alarms = random.Random(7), 0  # noqa: S311
    for _ in range(runs):
        control_errors = sum(chance.random() < control_rate for _ in range(requests))
        errors = 0
        for done in range(1, requests + 1):
            if chance.random() < rate:
                errors += 1
            if done % look_interval == 0 and is_worse(errors, done, control_errors, requests, ALPHA):
                alarms += 1
                break
    return alarms / runs


@pytest.mark.parametrize("rate", [0.005, 0.05, 0.5])
def test_at_many_looks_false_alarms_stay_below_their_level(rate: float) -> None:
    assert alarm_share(rate, rate, requests=400, runs=150) <= ALPHA


def test_ten_times_the_errors_are_found() -> None:
    assert alarm_share(0.05, 0.005, requests=800, runs=60) > 0.9


def test_without_a_sample_nothing_is_shown() -> None:
    assert upper_bound(0, 0, ALPHA) == 1
    assert not is_worse(50, 50, 0, 0, ALPHA)
    assert not is_worse(0, 0, 0, 1000, ALPHA)
    assert evidence(3, 10, 0.0) == evidence(3, 10, 1.0) == 0


@given(st.integers(0, 200), st.integers(1, 5000))
def test_the_bound_is_above_the_rate_and_approaches_it_with_the_sample(errors: int, requests: int) -> None:
    errors = min(errors, requests)
    bound = upper_bound(errors, requests, ALPHA)
    assert errors / requests <= bound <= 1
    assert upper_bound(errors * 2, requests * 2, ALPHA) <= bound + 1e-9
    if bound < 1:
        assert divergence(errors / requests, bound) * requests == pytest.approx(math.log(1 / ALPHA), rel=1e-3)


@given(st.floats(0.001, 0.5), st.integers(0, 40), st.integers(1, 300))
def test_an_additional_error_is_additional_evidence(p0: float, errors: int, successes: int) -> None:
    more = evidence(errors + 1, errors + successes + 1, p0)
    assert more >= evidence(errors, errors + successes + 1, p0) - 1e-9
