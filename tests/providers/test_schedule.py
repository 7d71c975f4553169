"""The decision on a slot's next deadline."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from providers.polling.schedule import (
    grid_share,
    next_after_wait,
    next_on_grid,
    seconds_left_in_month,
    stretched_interval,
)

moments = st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - strategies want it
intervals = st.floats(30, 300)
shares = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 5000).map(lambda value: timedelta(seconds=value))
TINY = timedelta(microseconds=2)


@given(moments, seconds, intervals, shares)
def test_the_next_poll_is_later_than_now_and_never_starved(
    polled_at: datetime, later: timedelta, interval: float, share: float
) -> None:
    now = polled_at + later
    following = next_on_grid(polled_at, now, interval, share)
    assert following > now
    assert following - polled_at >= timedelta(seconds=interval / 2) - TINY
    assert following - max(now, polled_at + timedelta(seconds=interval / 2)) <= timedelta(seconds=interval) + TINY


@given(moments, st.integers(30, 300), shares, st.lists(st.floats(0, 0.4), max_size=20))
def test_lateness_never_adds_up(start: datetime, interval: int, share: float, lates: list[float]) -> None:
    """If each poll is late by less than half an interval, the deadlines stay exactly one interval apart."""
    deadline = next_on_grid(start, start, interval, share)
    for late in lates:
        polled_at = deadline + timedelta(seconds=late * interval)
        following = next_on_grid(polled_at, polled_at, interval, share)
        assert following - deadline == timedelta(seconds=interval)
        deadline = following


@given(moments, st.integers(30, 300), shares, st.integers(1, 1000))
def test_missed_polls_are_not_repeated(start: datetime, interval: int, share: float, missed: int) -> None:
    deadline = next_on_grid(start, start, interval, share)
    now = deadline + timedelta(seconds=interval * missed + 1)
    following = next_on_grid(deadline, now, interval, share)
    assert following - deadline == timedelta(seconds=interval * (missed + 1))


def test_slots_are_spread_evenly_over_the_interval() -> None:
    positions = [grid_share(f"odds_api https://example.com K{number}_API_KEY NBA") for number in range(5000)]
    tenths = [sum(int(position * 10) == tenth for position in positions) for tenth in range(10)]
    assert all(400 < count < 600 for count in tenths)
    assert grid_share("a") == grid_share("a") != grid_share("b")


@given(moments, seconds, st.floats(30, 900))
def test_a_probe_comes_a_wait_after_the_last_poll(polled_at: datetime, later: timedelta, wait: float) -> None:
    now = polled_at + later
    following = next_after_wait(polled_at, now, wait)
    assert now < following <= now + timedelta(seconds=wait)
    if later < timedelta(seconds=wait):
        assert following == polled_at + timedelta(seconds=wait)


@given(intervals, st.floats(0, 100), st.floats(1, 1e6), st.floats(1, 2_700_000))
def test_a_stretched_interval_makes_the_credits_last(interval: float, use: float, left: float, rest: float) -> None:
    effective = stretched_interval(interval, use, left, rest)
    assert effective >= interval
    if effective < rest:  # otherwise no further poll fits into this month
        assert use * interval / effective * rest <= left * 1.0001
    if use * rest <= left:
        assert effective == interval


def test_with_no_credits_left_it_polls_once_a_day() -> None:
    assert stretched_interval(60, 1, 0, 10 * 86400) == 86400
    assert stretched_interval(60, 1, 0, 3600) == 3600


def test_the_month_ends_with_its_last_second() -> None:
    assert seconds_left_in_month(datetime(2026, 12, 31, 23, 59, 50, tzinfo=UTC)) == 10
    assert seconds_left_in_month(datetime(2026, 2, 1, tzinfo=UTC)) == 28 * 86400
