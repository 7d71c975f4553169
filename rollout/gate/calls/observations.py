"""Observations are checked where they are made, so that one odd value cannot stop the counting of a process."""

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

from rollout.decisions.stages import Arm
from rollout.gate.counters import METRIC_NAMES_AT_MOST, Counters
from rollout.gate.counting.observation import Observation, StageVisit

LONGEST_MS = 86_400_000.0  # a day; a longer call counts as one of a day, so that sums stay within Redis' integers
METRICS_AT_MOST = 20
LARGEST_METRIC = 1e100  # the sums of more calls than there ever are, and of their squares, are still finite
METRIC_NAME = re.compile(r"[-a-zA-Z0-9_]{1,30}")
Metrics = Mapping[str, float | bool]


class Unusable(ValueError):
    """A value of an observation that cannot be counted. Its message is the reason."""


def count_observation(
    counters: Counters,
    rollout: str,
    visit: StageVisit,
    arm: Arm,
    ms: float,
    is_error: bool | None = False,
    is_hit: bool | None = None,
    is_same: bool | None = None,
    key: str | None = None,
    metrics: Metrics | None = None,
    is_alone: bool = False,
    has_compare_failed: bool = False,
) -> None:
    """Count one call of an arm. If a value cannot be counted, count that instead. Raise nothing."""
    if not (
        type(arm) is Arm
        and type(ms) is float
        and 0.0 <= ms <= LONGEST_MS
        and (is_error is False or is_error is True)
        and (is_hit is None or is_hit is True or is_hit is False)
        and (is_same is None or is_same is True or is_same is False)
        and (key is None or type(key) is str)
        and metrics is None
    ):
        try:
            if type(arm) is not Arm:
                raise Unusable("arm must be an Arm")
            ms, key = _milliseconds(ms), None if key is None else str(key)
            is_error = _flag("is_error", is_error) or False
            is_hit, is_same = _flag("is_hit", is_hit), _flag("is_same", is_same)
            metrics = check_metrics(metrics)
            if metrics and not counters.takes_metrics(rollout, metrics):
                raise Unusable(f"the own metrics of a rollout must have at most {METRIC_NAMES_AT_MOST} different names")
        except Exception as error:  # a foreign type may raise anything when it is looked at
            reason = str(error) if isinstance(error, Unusable) else "a value cannot be read"
            counters.drop(rollout, visit, arm if type(arm) is Arm else Arm.CANDIDATE, reason)
            return
    values = (rollout, visit, arm, ms, is_error, is_hit, is_same, key, metrics, is_alone, has_compare_failed)
    counters.observe(tuple.__new__(Observation, values))  # a third faster than Observation(...)


def check_metrics(metrics: Any) -> Metrics | None:
    """Return a copy of the metrics with Python's own numbers. Raises Unusable."""
    if not metrics:
        return None
    if not isinstance(metrics, Mapping):
        raise Unusable("metrics must be a mapping of names to numbers or bools")
    if len(metrics) > METRICS_AT_MOST:
        raise Unusable(f"metrics must be at most {METRICS_AT_MOST}")
    return {_metric_name(name): _metric_value(value) for name, value in metrics.items()}


def _metric_name(name: Any) -> str:
    if isinstance(name, str) and METRIC_NAME.fullmatch(name):
        return str(name)
    raise Unusable("a metric's name must be 1 to 30 letters, digits, hyphens or underscores")


def _metric_value(value: Any) -> float | bool:
    if is_bool(value):
        return bool(value)
    if not isinstance(value, Real) or not abs(number := float(value)) <= LARGEST_METRIC:
        raise Unusable(f"a metric's value must be a bool or a number from -{LARGEST_METRIC:g} to {LARGEST_METRIC:g}")
    return number


def _milliseconds(ms: Any) -> float:
    if is_bool(ms) or not isinstance(ms, Real) or not 0 <= float(ms) < math.inf:
        raise Unusable("ms must be a finite number of at least 0")
    return min(float(ms), LONGEST_MS)


def _flag(name: str, value: Any) -> bool | None:
    if value is None or is_bool(value):
        return None if value is None else bool(value)
    raise Unusable(f"{name} must be a bool or None")


def is_bool(value: Any) -> bool:
    """Return whether the value is Python's or numpy's bool."""
    if isinstance(value, bool):
        return True
    return getattr(value, "shape", None) == () and getattr(getattr(value, "dtype", None), "kind", "") == "b"
