"""The comparison of two values, and the copy of control's that it needs."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.gate.calls.comparison import compare, equal, keep, pickled


class Frame:
    """A table as pandas has it: == raises for other labels, and is no bool for the same ones."""

    def __init__(self, **columns: list[Any]) -> None:
        self.columns = columns

    @property
    def shape(self) -> tuple[int, int]:
        return len(next(iter(self.columns.values()))), len(self.columns)

    def equals(self, other: "Frame") -> bool:
        return self.columns == other.columns

    def __eq__(self, other: object) -> Any:
        raise ValueError("Can only compare identically-labeled DataFrame objects")

    __hash__ = None  # type: ignore[assignment]


class Ambiguous(Frame):
    """A table as polars has it: the result of == is no bool, which raises another type."""

    def __init__(self) -> None:
        super().__init__(a=[1])

    def __eq__(self, other: object) -> Any:
        raise TypeError("the truth value of a DataFrame is ambiguous")

    __hash__ = None


NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (np.arange(4), np.arange(4), True),
        (np.arange(4), np.arange(1, 5), False),
        (np.arange(4), np.arange(3), False),
        (np.arange(4), np.arange(4).reshape(2, 2), False),
        (np.zeros((3, 1)), np.zeros((1, 3)), False),
        (np.array([1.0, NAN]), np.array([1.0, NAN]), True),
        (np.array([1.0, NAN]), np.array([NAN, 1.0]), False),
        (np.array(["a", "b"]), np.array(["a", "b"]), True),
        (np.array([]), np.array([]), True),
        (np.arange(2), [0, 1], False),
        (np.float64(1), 1.0, True),
        ({"a": np.arange(2)}, {"a": np.arange(2)}, True),
        ({"a": [np.arange(2)]}, {"a": [np.arange(3)]}, False),
        (Frame(a=[1, 2]), Frame(a=[1, 2]), True),
        (Frame(a=[1, 2]), Frame(b=[1, 2]), False),
        (Frame(a=[1, 2]), Frame(a=[1]), False),
        (Frame(a=[1, 2]), None, False),
        (NAN, NAN, True),
        (Decimal("NaN"), Decimal("NaN"), True),
        (Decimal("NaN"), Decimal(1), False),
        ([Ambiguous()], [Ambiguous()], True),
        ([1, NAN], [1, NAN], True),
        (1, 1.0, True),
        ((1, 2), [1, 2], False),
        (None, 0, False),
    ],
)
def test_arrays_frames_and_nan_are_compared_by_value(one: Any, other: Any, is_same: bool) -> None:
    assert equal(one, other) is is_same
    assert equal(other, one) is is_same


def test_frames_of_pandas_are_equal_if_their_labels_and_values_are() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, NAN]})
    assert equal(frame, frame.copy())
    assert not equal(frame, pandas.DataFrame({"b": [1.0, NAN]}))
    assert not equal(frame, frame.head(1))
    assert compare(frame, frame, lambda one, other: one == other) is False  # NaN differs from NaN
    assert compare(frame["a"], frame["a"].copy(), equal) is True


@pytest.mark.parametrize(
    ("result", "is_same"),
    [
        (True, True),
        (False, False),
        (None, None),
        (np.True_, True),
        (np.array([True, False]), False),
        (np.array([[True]]), True),
        (np.array(False), False),
    ],
)
def test_the_result_of_a_comparison_is_reduced(result: Any, is_same: bool | None) -> None:
    assert compare(1, 2, lambda one, other: result) is is_same


@pytest.mark.parametrize("result", [1, "yes", object(), np.array(1)])
def test_another_result_of_a_comparison_is_refused(result: Any) -> None:
    with pytest.raises(TypeError, match="same must return a bool"):
        compare(1, 2, lambda one, other: result)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(json)
def test_a_copy_equals_its_value(value: Any) -> None:
    assert equal(value, keep(value, pickled)())


def test_a_copy_does_not_change_with_its_value() -> None:
    value = {"odds": [1.5]}
    kept, uncopied, own = keep(value, pickled), keep(value, None), keep(value, lambda value: len(value["odds"]))
    value["odds"].append(math.pi)
    assert (kept(), uncopied(), own()) == ({"odds": [1.5]}, value, 1)
