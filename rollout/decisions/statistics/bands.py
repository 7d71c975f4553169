"""Whether the candidate answers more slowly than control, by their whole distributions of latencies. Pure.

A band around the measured distribution holds the true one at every latency and every look at once (Howard and Ramdas
2019, arXiv:1906.09712; used for canaries by Lindon, Sanden and Shirikian 2022, arXiv:2205.14762). If the two bands
part at some latency, so that surely fewer of the candidate's calls are that fast, the candidate is slower.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slowdown:
    """The latency at which the candidate falls behind control the most.

    bucket: its number, as in `rollout.decisions.latency`; `bound_ms` returns its latency.
    candidate_share, control_share: the share of each arm's calls that take at most this latency, 0 to 1.
    """

    bucket: int
    candidate_share: float
    control_share: float


def slowdown(candidate: Mapping[int, int], control: Mapping[int, int], alpha: float) -> Slowdown | None:
    """Return where the candidate is shown to be slower than control, or None if it is not.

    While no latency is exceeded more often by the candidate than by control, the probability that any look ever
    returns a slowdown is at most alpha.

    candidate, control: number of calls by bucket of `rollout.decisions.latency`, since the test began.
    """
    candidate_total, control_total = sum(candidate.values()), sum(control.values())
    if not candidate_total or not control_total:
        return None
    needed = band(candidate_total, alpha / 2) + band(control_total, alpha / 2)
    widest, counted, control_counted = None, 0, 0
    for bucket in sorted(candidate.keys() | control.keys()):
        counted += candidate.get(bucket, 0)
        control_counted += control.get(bucket, 0)
        gap = control_counted / control_total - counted / candidate_total
        if gap > needed:
            widest, needed = Slowdown(bucket, counted / candidate_total, control_counted / control_total), gap
    return widest


def band(total: int, alpha: float) -> float:
    """Return how far the measured distribution of `total` calls is from the true one at most, as a share.

    It holds at every latency and every look at once, with confidence 1 - alpha.
    Source: Howard and Ramdas 2019, arXiv:1906.09712, the uniform bound of the empirical distribution function.
    """
    return 0.85 * math.sqrt((math.log(1 + math.log(total)) + 0.8 * math.log(1612 / alpha)) / total)
