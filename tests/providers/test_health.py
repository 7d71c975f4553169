"""How well an upstream is taken to be: the decision alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.choices import Status
from providers.fleet.health import (
    Ended,
    Health,
    after,
    highest,
    is_our_side,
    is_over,
    retry_delay,
    status,
    wait_seconds,
)

intervals = st.integers(30, 300)
polls = st.lists(st.sampled_from(Ended), max_size=40)
GOOD, FAILED, THROTTLED = Ended.GOOD, Ended.FAILED, Ended.THROTTLED


def levels(ended: list[Ended], interval: int = 30) -> list[int]:
    health, found = Health(0, 0), []
    for one in ended:
        health = after(health, one, interval)
        found.append(health.level)
    return found


def test_three_failures_in_a_row_are_an_error() -> None:
    assert levels([FAILED] * 3) == [0, 0, 1]
    assert levels([FAILED, FAILED, GOOD, FAILED, FAILED]) == [0] * 5


def test_each_failed_probe_raises_the_level_up_to_the_one_that_reaches_15_minutes() -> None:
    assert levels([FAILED] * 9, 30) == [0, 0, 1, 2, 3, 4, 5, 5, 5]  # 30 s x 2^5 = 16 min
    assert levels([FAILED] * 6, 300) == [0, 0, 1, 2, 2, 2]  # 300 s x 2^2 = 20 min
    assert [wait_seconds(30, level) for level in range(7)] == [30, 60, 120, 240, 480, 900, 900]


def test_each_success_lowers_it_by_one() -> None:
    assert levels([FAILED] * 5 + [GOOD] * 4) == [0, 0, 1, 2, 3, 2, 1, 0, 0]


def test_a_failed_probe_on_the_way_back_raises_it_again() -> None:
    assert levels([FAILED] * 5 + [GOOD, FAILED, GOOD, GOOD, GOOD]) == [0, 0, 1, 2, 3, 2, 3, 2, 1, 0]


def test_throttling_is_no_ill_health() -> None:
    assert levels([FAILED, FAILED] + [THROTTLED] * 5) == [0] * 7
    assert after(Health(2, 0), THROTTLED, 30) == Health(2, 0)
    assert levels([FAILED] * 3 + [THROTTLED]) == [0, 0, 1, 1]


@given(polls, intervals)
def test_the_level_stays_within_bounds(ended: list[Ended], interval: int) -> None:
    assert all(0 <= level <= highest(interval) for level in levels(ended, interval))
    assert interval * 2 ** highest(interval) >= 900
    assert highest(interval) == 1 or interval * 2 ** (highest(interval) - 1) < 900


@given(intervals, st.integers(0, 20))
def test_no_wait_is_longer_than_15_minutes_or_shorter_than_the_interval(interval: int, level: int) -> None:
    assert interval <= wait_seconds(interval, level) <= 900


@given(polls, intervals)
def test_enough_successes_always_bring_it_back(ended: list[Ended], interval: int) -> None:
    assert levels(ended + [GOOD] * highest(interval), interval)[-1] == 0


@given(st.lists(st.sampled_from(Ended), min_size=1, max_size=40), intervals)
def test_a_state_is_in_error_exactly_while_its_level_is_above_nought(ended: list[Ended], interval: int) -> None:
    health, now = Health(0, 0), Status.ACTIVE
    for one in ended:
        health = after(health, one, interval)
        now = status(now, health, one)
        assert (now is Status.ERROR) == (health.level > 0)


@pytest.mark.parametrize("ended", Ended)
def test_maintenance_is_only_the_operators_doing(ended: Ended) -> None:
    for level in (0, 1, 3):
        assert status(Status.MAINTENANCE, Health(level, level), ended) is Status.MAINTENANCE
        for now in (Status.INACTIVE, Status.ACTIVE, Status.ERROR):
            assert status(now, Health(level, level), ended) is not Status.MAINTENANCE


def test_the_first_good_fetch_makes_it_active() -> None:
    assert status(Status.INACTIVE, Health(0, 0), GOOD) is Status.ACTIVE
    assert status(Status.INACTIVE, Health(1, 0), FAILED) is Status.INACTIVE
    assert status(Status.INACTIVE, Health(0, 0), THROTTLED) is Status.INACTIVE
    assert status(Status.INACTIVE, Health(0, 2), GOOD) is Status.ACTIVE  # a new member of a slot that recovers


@given(st.integers(0, 50), st.floats(0, 1))
def test_retries_use_full_jitter(attempt: int, dice: float) -> None:
    assert 0 <= retry_delay(attempt, dice) <= min(8, 0.5 * 2**attempt)
    assert retry_delay(attempt, 0) == 0
    assert retry_delay(attempt, 1) == min(8, 0.5 * 2**attempt)


@pytest.mark.parametrize(
    ("failing", "polled", "ours", "over"),
    [(0, 0, False, True), (2, 3, False, False), (4, 8, False, False), (5, 8, True, False), (2, 8, False, True)],
)
def test_more_than_half_at_once_is_our_side(failing: int, polled: int, ours: bool, over: bool) -> None:
    assert (is_our_side(failing, polled), is_over(failing, polled)) == (ours, over)
