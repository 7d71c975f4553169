"""The decisions about an upstream's health."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.choices import Status
from providers.fleet.health import (
    Health,
    PollResult,
    after_poll,
    has_fleet_recovered,
    highest_level,
    is_fleet_failing,
    retry_delay,
    status_after_poll,
    wait_seconds,
)

intervals = st.integers(30, 300)
polls = st.lists(st.sampled_from(PollResult), max_size=40)
GOOD, FAILED, THROTTLED = PollResult.GOOD, PollResult.FAILED, PollResult.THROTTLED


def levels(results: list[PollResult], interval: int = 30) -> list[int]:
    health, after_each = Health(0, 0), []
    for result in results:
        health = after_poll(health, result, interval)
        after_each.append(health.level)
    return after_each


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


def test_throttling_does_not_change_the_health() -> None:
    assert levels([FAILED, FAILED] + [THROTTLED] * 5) == [0] * 7
    assert after_poll(Health(2, 0), THROTTLED, 30) == Health(2, 0)
    assert levels([FAILED] * 3 + [THROTTLED]) == [0, 0, 1, 1]


@given(polls, intervals)
def test_the_level_stays_within_bounds(results: list[PollResult], interval: int) -> None:
    highest = highest_level(interval)
    assert all(0 <= level <= highest for level in levels(results, interval))
    assert interval * 2**highest >= 900
    assert highest == 1 or interval * 2 ** (highest - 1) < 900


@given(intervals, st.integers(0, 20))
def test_no_wait_is_longer_than_15_minutes_or_shorter_than_the_interval(interval: int, level: int) -> None:
    assert interval <= wait_seconds(interval, level) <= 900


@given(polls, intervals)
def test_enough_successes_always_bring_it_back(results: list[PollResult], interval: int) -> None:
    assert levels(results + [GOOD] * highest_level(interval), interval)[-1] == 0


@given(st.lists(st.sampled_from(PollResult), min_size=1, max_size=40), intervals)
def test_a_state_is_in_error_exactly_while_its_level_is_above_0(results: list[PollResult], interval: int) -> None:
    health, status = Health(0, 0), Status.ACTIVE
    for result in results:
        health = after_poll(health, result, interval)
        status = status_after_poll(status, health, result)
        assert (status is Status.ERROR) == (health.level > 0)


@pytest.mark.parametrize("result", PollResult)
def test_only_an_operator_starts_and_ends_maintenance(result: PollResult) -> None:
    for level in (0, 1, 3):
        health = Health(level, level)
        assert status_after_poll(Status.MAINTENANCE, health, result) is Status.MAINTENANCE
        for before in (Status.INACTIVE, Status.ACTIVE, Status.ERROR):
            assert status_after_poll(before, health, result) is not Status.MAINTENANCE


def test_the_first_good_fetch_makes_it_active() -> None:
    assert status_after_poll(Status.INACTIVE, Health(0, 0), GOOD) is Status.ACTIVE
    assert status_after_poll(Status.INACTIVE, Health(1, 0), FAILED) is Status.INACTIVE
    assert status_after_poll(Status.INACTIVE, Health(0, 0), THROTTLED) is Status.INACTIVE
    of_new_member = Health(0, 2)  # its slot is still recovering
    assert status_after_poll(Status.INACTIVE, of_new_member, GOOD) is Status.ACTIVE


@given(st.integers(0, 50), st.floats(0, 1))
def test_retries_use_full_jitter(attempt: int, dice: float) -> None:
    assert 0 <= retry_delay(attempt, dice) <= min(8, 0.5 * 2**attempt)
    assert retry_delay(attempt, 0) == 0
    assert retry_delay(attempt, 1) == min(8, 0.5 * 2**attempt)


@pytest.mark.parametrize(
    ("failing", "polled", "is_failing", "has_recovered"),
    [(0, 0, False, True), (2, 3, False, False), (4, 8, False, False), (5, 8, True, False), (2, 8, False, True)],
)
def test_more_than_half_at_once_is_an_alert(failing: int, polled: int, is_failing: bool, has_recovered: bool) -> None:
    assert is_fleet_failing(failing, polled) == is_failing
    assert has_fleet_recovered(failing, polled) == has_recovered
