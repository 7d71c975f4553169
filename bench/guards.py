"""Simulate the false rollbacks and detections of the plain count of errors and of the relative guard.

make bench, or .venv/bin/python bench/guards.py
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rollout.decisions.sequential import is_worse

from rollout.decisions.guards import ALPHA

RUNS, LOOK = 10_000, 10  # LOOK: requests from one look at the counts to the next
REQUESTS = (50, 200, 1_000, 5_000, 20_000)
COUNT_LIMIT = 5
WEEKS, PER_SLOT, WINDOW_SLOTS, CONTROL = 400, 200, 60, 5_000  # 20 requests a second, ten minutes
HEALTHY, SICK = 0.005, 0.05


@cache
def fewest_errors(done: int, control: int, requests: int) -> int:
    """Return the fewest errors in `done` requests that the relative guard judges worse than control's.

    control: errors of control in its `requests` requests.
    """
    low, high = 0, done + 1
    while low < high:
        middle = (low + high) // 2
        if is_worse(middle, done, control, requests, ALPHA):
            high = middle
        else:
            low = middle + 1
    return low


def simulate(rate: float, requests: int, chance: np.random.Generator) -> tuple[float, float]:
    """Return the shares of runs that the count and the relative guard trip at any look."""
    looks = np.arange(LOOK, requests + 1, LOOK)
    errors = chance.binomial(LOOK, rate, (RUNS, len(looks))).cumsum(axis=1)
    control = chance.binomial(requests, HEALTHY, RUNS)
    count = float((errors[:, -1] > COUNT_LIMIT).mean())
    tripped = np.zeros(RUNS, bool)
    for control_errors in np.unique(control):
        limits = np.array([fewest_errors(int(done), int(control_errors), requests) for done in looks])
        rows = control == control_errors
        tripped[rows] = (errors[rows] >= limits).any(axis=1)
    return count, float(tripped.mean())


def watch_for_a_week(rate: float, chance: np.random.Generator) -> tuple[float, float]:
    """Return the share of weeks of FULL_ACTIVE in which the relative guard trips, and the median minutes to the trip.

    It looks at a rolling window every 10 s. Without any trip the minutes are NaN.
    """
    slots = np.cumsum(chance.binomial(PER_SLOT, rate, (WEEKS, 7 * 8640)), axis=1, dtype=np.int64)
    window = slots[:, WINDOW_SLOTS:] - slots[:, :-WINDOW_SLOTS]
    limits = [
        fewest_errors(PER_SLOT * WINDOW_SLOTS, int(errors), CONTROL)
        for errors in chance.binomial(CONTROL, HEALTHY, WEEKS)
    ]
    tripped = window >= np.array(limits)[:, None]
    minutes = (tripped.argmax(axis=1)[tripped.any(axis=1)] + WINDOW_SLOTS) / 6
    return float(tripped.any(axis=1).mean()), float(np.median(minutes)) if len(minutes) else float("nan")


def main() -> None:
    chance = np.random.default_rng(1)
    print(f"{RUNS} runs each, a look after every {LOOK} requests, alpha {ALPHA}")
    print(f"control: the same number of requests, with errors of {HEALTHY:.1%}")
    for requests in REQUESTS:
        false_count, false_relative = simulate(HEALTHY, requests, chance)
        detected_by_count, detected_by_relative = simulate(SICK, requests, chance)
        print(
            f"{requests} requests: false rollbacks at {HEALTHY:.1%}: count {false_count:.2%}, "
            f"relative {false_relative:.2%}; "
            f"detected at {SICK:.0%}: count {detected_by_count:.1%}, relative {detected_by_relative:.1%}"
        )
    print(f"{WEEKS} weeks of FULL_ACTIVE at 20 requests per second, a ten-minute window; control: {CONTROL} requests")
    for rate in (HEALTHY, 2 * HEALTHY, SICK):
        share, minutes = watch_for_a_week(rate, chance)
        print(f"errors of {rate:.1%}: tripped in {share:.1%} of weeks, after {minutes:.0f} min (median)")


if __name__ == "__main__":
    main()
