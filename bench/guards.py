"""False rollbacks and detections of the plain count of errors and of the relative guard, by simulation.

make bench, or .venv/bin/python bench/guards.py
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rollout.guards import ALPHA
from rollout.sequential import is_worse

RUNS, LOOK = 10_000, 10  # a look after every so many requests
REQUESTS = (50, 200, 1_000, 5_000, 20_000)
COUNT_LIMIT = 5
WEEKS, PER_SLOT, WINDOW_SLOTS, CONTROL = 400, 200, 60, 5_000  # 20 requests a second, ten minutes
HEALTHY, SICK = 0.005, 0.05


@cache
def enough(done: int, control: int, requests: int) -> int:
    """The fewest errors of so many requests that the relative guard takes for worse than control's."""
    low, high = 0, done + 1
    while low < high:
        middle = (low + high) // 2
        if is_worse(middle, done, control, requests, ALPHA):
            high = middle
        else:
            low = middle + 1
    return low


def simulate(rate: float, requests: int, chance: np.random.Generator) -> tuple[float, float]:
    """The shares of runs in which the count, and the relative guard, fall at any look."""
    looks = np.arange(LOOK, requests + 1, LOOK)
    errors = chance.binomial(LOOK, rate, (RUNS, len(looks))).cumsum(axis=1)
    control = chance.binomial(requests, HEALTHY, RUNS)
    count = float((errors[:, -1] > COUNT_LIMIT).mean())
    fell = np.zeros(RUNS, bool)
    for found in np.unique(control):
        limits = np.array([enough(int(done), int(found), requests) for done in looks])
        rows = control == found
        fell[rows] = (errors[rows] >= limits).any(axis=1)
    return count, float(fell.mean())


def watch_for_a_week(rate: float, chance: np.random.Generator) -> tuple[float, float]:
    """The share of runs in which the relative guard falls within a week of FULL_ACTIVE, which looks at a window that
    rolls; and the median minutes until then, where it falls. A look every 10 s.
    """
    slots = np.cumsum(chance.binomial(PER_SLOT, rate, (WEEKS, 7 * 8640)), axis=1, dtype=np.int64)
    window = slots[:, WINDOW_SLOTS:] - slots[:, :-WINDOW_SLOTS]
    limits = [
        enough(PER_SLOT * WINDOW_SLOTS, int(found), CONTROL) for found in chance.binomial(CONTROL, HEALTHY, WEEKS)
    ]
    fell = window >= np.array(limits)[:, None]
    minutes = (fell.argmax(axis=1)[fell.any(axis=1)] + WINDOW_SLOTS) / 6
    return float(fell.any(axis=1).mean()), float(np.median(minutes)) if len(minutes) else float("nan")


def main() -> None:
    chance = np.random.default_rng(1)
    print(f"{RUNS} runs each, a look after every {LOOK} requests, alpha {ALPHA}; control: as many at {HEALTHY:.1%}")
    for requests in REQUESTS:
        false_count, false_relative = simulate(HEALTHY, requests, chance)
        found_count, found_relative = simulate(SICK, requests, chance)
        print(
            f"{requests} requests: false rollbacks at {HEALTHY:.1%}: count {false_count:.2%}, "
            f"relative {false_relative:.2%}; "
            f"found at {SICK:.0%}: count {found_count:.1%}, relative {found_relative:.1%}"
        )
    print(f"{WEEKS} weeks of FULL_ACTIVE at 20 requests a second, a ten-minute window; control: {CONTROL} requests")
    for rate in (HEALTHY, 2 * HEALTHY, SICK):
        share, minutes = watch_for_a_week(rate, chance)
        print(f"errors of {rate:.1%}: fell in {share:.1%} of weeks, after {minutes:.0f} min (median)")


if __name__ == "__main__":
    main()
