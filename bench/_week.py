"""Weeks of FULL_ACTIVE: the first slot at which a detector raises its alarm, for thousands of weeks at once.

A week has 60,480 slots, so the states are kept as numbers and not as logarithms, and one slot follows the other.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import _evidence as formulas
from bench._stage import BURST_MINUTES, BURST_SHARE, MISSES, Array, Counts
from rollout.decisions.record import SLOT_SECONDS
from rollout.decisions.statistics import detection

SLOTS_PER_DAY = 86_400 // SLOT_SECONDS
OVER_LIMIT = 0.04  # share of calls that are slower than the limit of p95_ms, which allows 0.05
MULTIPLES = 1 + formulas.EXCESS


@dataclass(frozen=True, slots=True)
class Weeks:
    """The traffic of weeks in which both arms are alike.

    requests: per slot, of both arms; an even number. hold_back: the percent of keys that control serves.
    errors: the mean share of errors, which moves by 0.9 of itself by day and night.
    has_burst: whether each day has half an hour of 2 % errors in addition.
    """

    requests: int
    hold_back: int
    errors: float = 0.005
    has_burst: bool = False

    def share(self, slot: int) -> float:
        """Return the share of errors in the slot."""
        minutes = slot % SLOTS_PER_DAY * SLOT_SECONDS / 60
        if self.has_burst and minutes < BURST_MINUTES:
            return BURST_SHARE
        return self.errors * (1 + 0.9 * math.sin(2 * math.pi * minutes / 1440))

    def half_slot(self, slot: int, runs: int, chance: np.random.Generator) -> NDArray[np.int64]:
        """Return the candidate's requests, its errors and control's errors in half of the slot, shape (3, runs)."""
        requests, to_candidate = self.requests // 2, 1 - self.hold_back / 100
        errors = chance.binomial(requests, self.share(slot), runs)
        bad = chance.binomial(errors, to_candidate)
        return np.array([bad + chance.binomial(requests - errors, to_candidate), bad, errors - bad])


class Detector:
    """The detector of one guard in many runs.

    guards: the number of guards that share the level. first: the slot of the first alarm, from 1; 0 for none.
    """

    def __init__(self, runs: int, guards: float) -> None:
        self._state = np.zeros((runs, len(MULTIPLES)))
        self._alarm = guards * detection.SLOTS_PER_YEAR * len(MULTIPLES)
        self.first = np.zeros(runs, np.int64)

    def look(self, ratios: Array, bad: Counts, slot: int, *, is_closed: bool) -> None:
        """Look at a slot, and keep its counts if it is closed."""
        state = np.minimum((self._state + (bad > 0)[:, None]) * np.exp(ratios), math.exp(detection.EXTREME / 2))
        self.first[(state.sum(axis=1) >= self._alarm) & (self.first == 0)] = slot + 1
        if is_closed:
            self._state = state


def first_alarms(
    weeks: Weeks, guards: int, limits: Mapping[str, float], runs: int, seed: int, slots: int = 7 * SLOTS_PER_DAY
) -> dict[str, Counts]:
    """Return the first slot at which each guard raises its alarm.

    With a hold-back that is the guard against control. Without one it is each guard in `limits`, whose open slot is
    looked at, too.

    guards: the number of those that share the level. limits: the shares that are allowed, by guard.
    """
    chance = np.random.default_rng(seed)
    if weeks.hold_back:
        return {"error_rate": _against_control(weeks, guards, runs, chance, slots)}
    logs = {name: np.log1p(formulas.EXCESS * share) for name, share in limits.items()}
    detectors = {name: Detector(runs, guards) for name in limits}
    shares = {"p95_ms": OVER_LIMIT, "hit_rate": MISSES}
    for slot in range(slots):
        requests, bad = 0, {name: np.zeros(runs, np.int64) for name in limits}
        for is_closed in (False, True):
            requests += weeks.requests // 2
            for name, detector in detectors.items():
                share = shares.get(name) or weeks.share(slot)
                bad[name] = bad[name] + chance.binomial(weeks.requests // 2, share, runs)
                ratios = bad[name][:, None] * formulas.LOG_M - requests * logs[name]
                detector.look(ratios, bad[name], slot, is_closed=is_closed)
    return {name: detector.first for name, detector in detectors.items()}


def _against_control(weeks: Weeks, guards: int, runs: int, chance: np.random.Generator, slots: int) -> Counts:
    detector = Detector(runs, guards)
    candidate_shares = np.arange(weeks.requests + 1)[:, None] / weeks.requests  # by the candidate's requests
    logs = np.log1p(formulas.EXCESS * candidate_shares)
    for slot in range(slots):
        total, bad, control_bad = weeks.half_slot(slot, runs, chance) + weeks.half_slot(slot, runs, chance)
        is_compared = (total > 0) & (total < weeks.requests)
        ratios = bad[:, None] * formulas.LOG_M - (bad + control_bad)[:, None] * logs[total]
        ratios = np.where(is_compared[:, None], ratios, 0.0)
        detector.look(ratios, np.where(is_compared, bad, 0), slot, is_closed=True)
    return detector.first
