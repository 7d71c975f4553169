"""The formulas of rollout/decisions for many simulated runs at once, with numpy.

tests/rollout/test_simulations.py asserts that they return the same as the functions that Slipway runs.
A count has the shape (runs,) or (runs, slots). A state has one more axis, with an element for each of MULTIPLES.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollout.decisions.statistics.detection import EXTREME
from rollout.decisions.statistics.evidence import MULTIPLES

Array = NDArray[np.float64]
LOG_M = np.log(MULTIPLES)
EXCESS = np.array(MULTIPLES) - 1


def limit_ratios(bad: ArrayLike, total: ArrayLike, p0: ArrayLike) -> Array:
    """Return the state of the counts against a limit p0 > 0."""
    x, n, share = (np.asarray(given, float)[..., None] for given in (bad, total, p0))
    return np.asarray(x * LOG_M - n * np.log1p(EXCESS * np.minimum(share, 1.0)))


def control_ratios(
    bad: ArrayLike, total: ArrayLike, control_bad: ArrayLike, control_total: ArrayLike, tolerance: float
) -> Array:
    """Return the state of single slots against control; 0 where an arm has no request."""
    n, n_control = np.asarray(total, float), np.asarray(control_total, float)
    is_measured = (n > 0) & (n_control > 0)
    share = np.divide(tolerance * n, tolerance * n + n_control, out=np.zeros_like(n), where=is_measured)
    return np.where(is_measured[..., None], limit_ratios(bad, np.add(bad, control_bad), share), 0.0)


def log_mean(states: Array) -> Array:
    """Return the logarithm of the evidence or the detection in these states."""
    largest = states.max(axis=-1, keepdims=True)
    return np.asarray(largest[..., 0] + np.log(np.exp(states - largest).mean(axis=-1)))


def evidence_at_each_slot(ratios: Array) -> Array:
    """Return the logarithm of the evidence after each slot, shape (runs, slots), of the slots' states."""
    return log_mean(ratios.cumsum(axis=1))


def detection_at_each_slot(ratios: Array, bad: NDArray[np.int64]) -> Array:
    """Return the logarithm of the detector's value after each slot, shape (runs, slots)."""
    return log_mean(states_at_each_slot(ratios, bad))


def states_at_each_slot(ratios: Array, bad: NDArray[np.int64]) -> Array:
    """Return the state of the detector after each slot.

    bad: the candidate's bad requests in the slots that count.
    """
    states = np.empty(ratios.shape)
    state = np.full((ratios.shape[0], ratios.shape[2]), -EXTREME)
    for slot in range(bad.shape[1]):
        states[:, slot] = state = advance(state, ratios[:, slot], bad[:, slot])
    return states


def advance(state: Array, ratios: Array, bad: NDArray[np.int64]) -> Array:
    """Return the state of the detector after one more slot."""
    begun = np.where(bad[..., None] > 0, np.logaddexp(state, 0.0), state)
    return np.clip(begun + ratios, -EXTREME, EXTREME)


def first_slots(values: NDArray[Any], alarm: float) -> NDArray[np.int64]:
    """Return the number of the first slot of each run at which the value reaches `alarm`, from 1; 0 for none."""
    reached = values >= alarm
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 0)


def is_slower(candidate: NDArray[np.int64], control: NDArray[np.int64], alpha: ArrayLike) -> NDArray[np.bool_]:
    """Return for each look whether the candidate is shown to be slower than control.

    candidate, control: counts since the test began, whose last axis is the bucket; each look has calls of both arms.
    """
    alpha = np.asarray(alpha)
    totals, control_totals = candidate.sum(axis=-1), control.sum(axis=-1)
    shares = candidate.cumsum(axis=-1) / totals[..., None]
    gaps = control.cumsum(axis=-1) / control_totals[..., None] - shares
    return np.asarray(gaps.max(axis=-1) > band(totals, alpha / 2) + band(control_totals, alpha / 2))


def band(total: ArrayLike, alpha: ArrayLike) -> Array:
    """Return the distance of a measured distribution from the true one, for each total and level."""
    n = np.asarray(total, float)
    return np.asarray(0.85 * np.sqrt((np.log1p(np.log(n)) + 0.8 * np.log(1612 / np.asarray(alpha))) / n))
