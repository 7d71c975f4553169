"""A derived value through the gate: control computes it fresh, the candidate reads it from the tiers."""

import math
from dataclasses import dataclass, replace
from typing import Any

from django.db.models.functions import Now

from caching.choices import ValueState
from caching.models import CacheEntry
from caching.serving.serve import CannotCompute, NoTarget, Served, compute_fresh, serve
from caching.tiers.entries import Key, get_entry
from rollout.decisions.stages import DEFAULT_ROLLOUT, Arm
from rollout.gate import Answer, Gate, gate

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-9, 1e-12  # the libraries of two machines may round differently


def derived_gate() -> Gate:
    """Return the gate of the rollout that brings the cached values live."""
    return gate(DEFAULT_ROLLOUT)


def derived_value(key: Key, targeting_key: str) -> Served:
    """Return the value from the arm that serves the targeting key.

    Raise NoTarget, CannotCompute, or django.db.Error if PostgreSQL is needed and does not answer.
    """
    arms = _Arms(key)
    served: Served | NoTarget | CannotCompute = derived_gate().run(
        targeting_key,
        control=arms.control,
        candidate=arms.candidate,
        probe=arms.probe,
        same=arms.same,
        copy=None,  # no caller changes a served value
    )
    if isinstance(served, Served):
        return served
    raise served


@dataclass(frozen=True, slots=True)
class _Arms:
    """The two arms for one request."""

    key: Key

    def control(self) -> Answer:
        """Return the computed value. A request that cannot be answered, such as a wrong key, counts for neither arm."""
        try:
            return Answer(compute_fresh(self.key))
        except (NoTarget, CannotCompute) as problem:
            return Answer(problem, is_counted=False)

    def candidate(self) -> Answer:
        served = serve(self.key)
        return Answer(replace(served, arm=Arm.CANDIDATE), is_hit=not served.is_computed)

    def probe(self) -> bool:
        """Return whether the cache has the value."""
        return get_entry(self.key).state is not ValueState.MISSING

    def same(self, fresh: Served, cached: Served) -> bool | None:
        """Return whether both arms gave the same value, or None if box scores were imported between the two."""
        if is_close(fresh.lookup.value, cached.lookup.value):
            return True
        return None if self._was_computed_from_other_games(cached) else False

    def _was_computed_from_other_games(self, cached: Served) -> bool:
        """Return whether the cached value is right by now, or waits to be refreshed because an import made it due."""
        record, recomputed = cached.lookup.record, compute_fresh(self.key)
        if is_close(recomputed.lookup.value, cached.lookup.value):
            return True
        is_current = CacheEntry.objects.filter(
            pk=record.row, data_hash=record.digest.hex(), soft_expires_at__gt=Now()
        ).exists()
        return not is_current


def is_close(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, apart from the rounding of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_close(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_close, one, other))
    if isinstance(one, float) or isinstance(other, float):
        are_numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return are_numbers and math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    return bool(one == other)
