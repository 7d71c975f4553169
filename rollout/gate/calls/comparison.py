"""The comparison of control's and the candidate's values, and the copy of control's that it needs."""

import datetime
import decimal
import pickle
import uuid
from collections.abc import Callable
from functools import partial
from numbers import Number
from typing import Any

from rollout.gate.calls.answers import Raised

Same = Callable[[Any, Any], Any]
Copy = Callable[[Any], Any]
NESTED_AT_MOST = 4  # reductions of a result: a frame has two dimensions
# Values of these types cannot change, so the value itself is kept.
SCALARS = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        decimal.Decimal,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        uuid.UUID,
    }
)


def pickled(value: Any) -> Callable[[], Any]:
    """Return a function that restores the value as it is now. Raises what pickle raises."""
    return partial(pickle.loads, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def keep(value: Any, copy: Copy | None) -> Callable[[], Any]:
    """Return a function that returns control's value as it is now, although the caller may change it.

    copy: makes the copy; None: the value itself is compared.
    Raises what copying raises.
    """
    if copy is None or type(value) in SCALARS:
        return lambda: value
    if isinstance(value, Raised):
        args = pickled(value.args)
        return lambda: Raised(value.kind, args())
    if copy is pickled:
        return pickled(value)
    kept = copy(value)
    return lambda: kept


def compare(one: Any, other: Any, same: Same) -> bool | None:
    """Return whether control's and the candidate's values are the same; None if they cannot be compared.

    Raises what `same` raises, and TypeError if its result is neither a bool nor None.
    """
    if isinstance(one, Raised) or isinstance(other, Raised):
        are_raised = isinstance(one, Raised) and isinstance(other, Raised)
        return are_raised and one.kind is other.kind and equal(one.args, other.args)
    return reduce_result(same(one, other))


def equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal. NaN equals NaN, and arrays and frames equal those of the same shape."""
    if _is_array(one) or _is_array(other):
        return _are_arrays_equal(one, other)
    if isinstance(one, dict | list | tuple) and _are_plainly_equal(one, other):
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and type(one) is type(other):
        return len(one) == len(other) and all(map(equal, one, other))
    if reduce_result(one == other):
        return True
    return isinstance(one, Number) and isinstance(other, Number) and bool(one != one and other != other)


def _are_plainly_equal(one: Any, other: Any) -> bool:
    """Return whether == alone finds two containers equal. It is much faster than a look at each value."""
    try:
        return bool(one == other)
    except Exception:  # they hold arrays or frames, which raise several types
        return False


def reduce_result(result: Any) -> bool | None:
    """Return the result of a comparison as a bool or None. An array is reduced by `all`.

    Raises TypeError if it is neither.
    """
    for _ in range(NESTED_AT_MOST):
        if result is None or isinstance(result, bool):
            return result
        if getattr(result, "shape", None) == ():
            result = result.item()
        elif hasattr(result, "all"):
            result = result.all()
    raise TypeError(f"same must return a bool, an array of them or None (got {type(result).__name__})")


def _is_array(value: Any) -> bool:
    return (hasattr(value, "shape") and hasattr(value, "dtype")) or _is_frame(value)


def _is_frame(value: Any) -> bool:
    """Return whether the value is one of pandas', whose == raises for frames with other labels."""
    return hasattr(value, "shape") and hasattr(value, "equals")


def _are_arrays_equal(one: Any, other: Any) -> bool:
    if getattr(one, "shape", ()) != getattr(other, "shape", ()):
        return False
    if _is_frame(one) or _is_frame(other):
        return type(one) is type(other) and bool(one.equals(other))
    is_same = (one == other) | ((one != one) & (other != other))  # NaN alone differs from itself
    return bool(reduce_result(is_same))
