"""Durations, moments and numbers are shown in few digits with their units."""

import pytest

from core.text import duration, elapsed, number, whole_units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (7200, "2 h"), (86399, "23 h"), (3 * 86400, "3 d")],
)
def test_whole_units_drop_the_rest(seconds: float, text: str) -> None:
    assert whole_units(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.05, "under 0.1 s"), (0.1, "0.1 s"), (4.24, "4.2 s"), (5, "5 s"), (90, "1.5 min"), (3 * 3600, "3 h")],
)
def test_a_duration_has_at_most_one_decimal(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_moment_is_relative_to_now() -> None:
    assert elapsed(125) == "2 min ago"
    assert elapsed(-125) == "in 2 min"


@pytest.mark.parametrize(
    ("value", "text"), [(0.001, "0.001"), (17.4321, "17.43"), (1234567.8, "1,234,568"), (0.0, "0"), (-1000.4, "-1,000")]
)
def test_a_number_has_four_significant_digits(value: float, text: str) -> None:
    assert number(value) == text
