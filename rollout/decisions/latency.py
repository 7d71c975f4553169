"""Latencies in buckets that grow by a tenth: few numbers for any number of requests, added up by whoever has some.
Pure.
"""

import math
from collections.abc import Mapping

GROWTH = 1.1
SMALLEST_MS = 1000 / GROWTH**104  # 0.05: so that 1,000 ms, the usual limit, is the bound of a bucket
LARGEST = 150  # 80 s: what takes longer is in the last one
_STEP = math.log(GROWTH)


def bucket(ms: float) -> int:
    """The number of the bucket that holds this latency."""
    if ms <= SMALLEST_MS:
        return 0
    return min(LARGEST, math.ceil(math.log(ms / SMALLEST_MS) / _STEP - 1e-6))


def bound_ms(number: int) -> float:
    """The largest latency that the bucket holds."""
    return round(SMALLEST_MS * GROWTH**number, 9)


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The smallest bound that at least this share of all latencies keeps, in ms: at most a tenth too high, never too
    low. None where nothing was measured.
    """
    total = sum(counts.values())
    if total == 0:
        return None
    needed, seen = math.ceil(share * total), 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= needed:
            return bound_ms(number)
    return None
