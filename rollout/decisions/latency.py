"""Latencies in buckets whose bounds grow by a tenth. Pure.

A few counts describe any number of requests, and the counts of several processes can be added up.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

GROWTH = 1.1
SMALLEST_MS = 1000 / GROWTH**104  # 0.05 ms; chosen so that 1,000 ms, the default limit, is the bound of a bucket
LARGEST_BUCKET = 150  # its bound is 80 s; slower calls are counted in it too
_UPPER_MS = [SMALLEST_MS * GROWTH ** (number + 1e-6) for number in range(LARGEST_BUCKET)]  # with room for rounding


def bucket_number(ms: float) -> int:
    """Return the number of the bucket that holds this latency, 0 to LARGEST_BUCKET."""
    return bisect_left(_UPPER_MS, ms)


def bucket_numbers(latencies: Iterable[float]) -> Iterator[int]:
    """Return the numbers of the buckets that hold these latencies, in ms, faster than one by one."""
    return map(partial(bisect_left, _UPPER_MS), latencies)


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
