"""Detectors that watch for ever, and raise a false alarm once in a given number of slots on average. Pure.

A test at level alpha may be wrong once, and then remembers a good past for ever. A detector also finds a change that
comes after months: it sums the evidence since every possible beginning. With the likelihood ratio L of a closed slot,
M becomes (M + 1) L. While the hypothesis holds, the mean number of slots until M reaches A is at least A, no matter
how the slots depend on each other. The mean over the alternatives keeps this. Source: Shin, Ramdas and Rinaldo 2022,
arXiv:2203.03532, e-detectors.

Here the 1 is added only in a slot in which the candidate has a bad request. Elsewhere L is at most 1, so the sum only
loses beginnings that are no evidence, M is smaller than in the paper, and the bound holds. Without this, M would grow
by 1 in each quiet slot, and a year without any bad request would end in an alarm.
"""

import math
from collections.abc import Sequence

from rollout.decisions.statistics.evidence import MULTIPLES, State, control_ratios, limit_ratios, log_mean

SLOTS_PER_YEAR = 365 * 24 * 360  # slots of 10 s; as A: one false alarm a year
EXTREME = 1000.0  # logarithms are kept from -1000 to 1000: finite, so that JSON can store them, and exact in effect
NO_DETECTION: State = (-EXTREME,) * len(MULTIPLES)  # the logarithm of 0, for all that is computed with it


def detect_limit(state: Sequence[float], bad: int, total: int, p0: float) -> State:
    """Return the state after one closed slot, for the hypothesis "the share of bad requests is at most p0".

    state: the logarithm of M for each alternative; NO_DETECTION at first and after an alarm.
    bad, total: the candidate's requests in the slot.
    """
    return _advance(state, limit_ratios(bad, total, p0), begins=bad > 0)


def detect_against(
    state: Sequence[float], bad: int, total: int, control_bad: int, control_total: int, tolerance: float
) -> State:
    """Return the state after one closed slot, for "the candidate's rate is at most tolerance x control's".

    The arguments are those of `evidence.add_slot`, and `state` is as in `detect_limit`. A slot changes nothing if one
    arm has no request, or if neither arm has a bad one.
    """
    if not total or not control_total:
        return tuple(state)
    return _advance(state, control_ratios(bad, total, control_bad, control_total, tolerance), begins=bad > 0)


def log_detection(state: Sequence[float]) -> float:
    """Return the logarithm of the detector's value; an alarm is raised if it reaches log(A)."""
    return log_mean(state)


def _advance(state: Sequence[float], ratios: State, *, begins: bool) -> State:
    if begins:
        state = [_log_of_one_more(logarithm) for logarithm in state]
    return tuple([min(EXTREME, max(-EXTREME, before + ratio)) for before, ratio in zip(state, ratios, strict=True)])


def _log_of_one_more(logarithm: float) -> float:
    """Return log(M + 1) for log(M)."""
    return max(logarithm, 0.0) + math.log1p(math.exp(-abs(logarithm)))
