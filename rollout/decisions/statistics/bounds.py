"""The largest share, and the largest ratio of two rates, that a sample does not rule out. Pure.

They invert the tests of `evidence` with mirrored alternatives, which divide the odds by MULTIPLES
instead: a value is ruled out if the evidence against "it is at least this" reaches 1 / alpha. So with probability
1 - alpha the truth is at most the bound at every look (Ville 1939). The closest alternative is a fifth below, so a
bound stays about an eighth above the measured value, however large the sample is.
"""

import math
from collections.abc import Sequence

from rollout.decisions.statistics.evidence import MULTIPLES, log_mean

_LOWERED = tuple((math.log(multiple), 1 - 1 / multiple) for multiple in MULTIPLES)
_WIDEST = 50.0  # the logarithm of the largest ratio that is searched for
_STEPS = 40  # of the bisection, which then is exact to ten digits
_NEWTON_STEPS = 50  # at most; about eight are needed
_CLOSE = 1e-12  # relative


def upper_bound(bad: int, total: int, alpha: float) -> float:
    """Return the largest share that the sample does not rule out, with confidence 1 - alpha at every look.

    The bound is 1 for an empty sample, and if too few requests were good to rule out any share.

    The logarithm of the evidence rises with the share and is convex, so Newton's method overshoots once and then
    approaches the bound from above.
    """
    if not total:
        return 1.0
    needed, share = -math.log(alpha), bad / total
    for _ in range(_NEWTON_STEPS):
        evidence, slope = _lowered_evidence(bad, total, share)
        following = min(1.0, share + (needed - evidence) / slope)
        if abs(following - share) <= _CLOSE * share:
            return following
        share = following
    return share


def ratio_bound(steps: Sequence[tuple[int, int, int, int]], alpha: float) -> float:
    """Return the largest ratio of the candidate's rate to control's that the samples do not rule out.

    The ratio is infinite if none is ruled out: if control has too few bad requests.

    steps: for each step of the traffic share, the counts (bad, total, control's bad, control's total) of the whole
        step. The confidence 1 - alpha is exact at every look if each slot of a step has the same split; the random
        split of single slots changes it little. A step in which an arm has no request changes nothing.
    """
    needed = -math.log(alpha)
    measured = [step for step in steps if step[1] and step[3]]
    low, high = -_WIDEST, _WIDEST
    if _ratio_evidence(measured, high) <= needed:
        return math.inf
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _ratio_evidence(measured, middle) < needed else (low, middle)
    return math.exp(high)


def _lowered_evidence(bad: int, total: int, share: float) -> tuple[float, float]:
    """Return the logarithm of the evidence against "the share is at least this", and its derivative."""
    ratios = [-bad * log_m - total * math.log1p(-reduction * share) for log_m, reduction in _LOWERED]
    largest = max(ratios)
    weights = [math.exp(ratio - largest) for ratio in ratios]
    whole = sum(weights)
    slopes = [reduction / (1 - reduction * share) for _, reduction in _LOWERED]
    slope = total * sum([weight * slope for weight, slope in zip(weights, slopes, strict=True)]) / whole
    return largest + math.log(whole / len(ratios)), slope


def _ratio_evidence(steps: Sequence[tuple[int, int, int, int]], log_ratio: float) -> float:
    """Return the logarithm of the evidence against "the candidate's rate is at least this ratio of control's"."""
    ratio = math.exp(log_ratio)
    ratios = [0.0] * len(MULTIPLES)
    for bad, total, control_bad, control_total in steps:
        share = ratio * total / (ratio * total + control_total)
        for position, (log_m, reduction) in enumerate(_LOWERED):
            ratios[position] -= bad * log_m + (bad + control_bad) * math.log1p(-reduction * share)
    return log_mean(ratios)
