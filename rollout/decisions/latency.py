"""Latencies in buckets whose bounds grow by a tenth. Pure.

A few counts describe any number of requests, and the counts of several processes can be added up.
"""

import math
from collections.abc import Mapping

GROWTH = 1.1
SMALLEST_MS = 1000 / GROWTH**104  # 0.05 ms; chosen so that 1,000 ms, the default limit, is the bound of a bucket
LARGEST_BUCKET = 150  # its bound is 80 s; slower calls are counted in it too
_STEP = math.log(GROWTH)


def bucket_number(ms: float) -> int:
    """Return the number of the bucket that holds this latency, 0 to LARGEST_BUCKET."""
    if ms <= SMALLEST_MS:
        return 0
    return min(LARGEST_BUCKET, math.ceil(math.log(ms / SMALLEST_MS) / _STEP - 1e-6))


def bound_ms(number: int) -> float:
    """Return the largest latency that the bucket holds, in ms."""
    return round(SMALLEST_MS * GROWTH**number, 9)


def percentile_ms(counts: Mapping[int, int], share: float) -> float | None:
    """Return the bound of the first bucket up to which at least `share` of all latencies were counted, in ms.

    The result is at most a tenth too high and never too low. It is None if nothing was measured.

    counts: number of latencies by bucket number.
    share: 0 to 1.
    """
    total = sum(counts.values())
    if total == 0:
        return None
    needed, counted = math.ceil(share * total), 0
    for number in sorted(counts):
        counted += counts[number]
        if counted >= needed:
            return bound_ms(number)
    return None
