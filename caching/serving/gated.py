"""A derived value through the gate: control computes it fresh, the candidate takes it out of the tiers."""

import math
from dataclasses import dataclass
from typing import Any

from django.db import Error
from django.db.models.functions import Now

from caching.choices import State
from caching.models import CacheEntry
from caching.serving.serve import CannotCompute, NoTarget, Served, compute_fresh, serve
from caching.tiers import entries
from caching.tiers.entries import Key
from rollout.decisions.stages import ROLLED_OUT
from rollout.gate import Answer, Gate
from rollout.gate import gate as named

RELATIVE, ABSOLUTE = 1e-9, 1e-12  # what two machines' libraries may round differently


def gate() -> Gate:
    return named(ROLLED_OUT)


def derived_value(key: Key, targeting_key: str) -> Served:
    """Raises NoTarget, CannotCompute; django.db.Error where it needs PostgreSQL."""
    asked = _Asked(key)
    served: Served | NoTarget | CannotCompute | Error = gate().run(
        targeting_key, control=asked.control, candidate=asked.candidate, probe=asked.probe, same=asked.same
    )
    if isinstance(served, Served):
        return served
    raise served


@dataclass(slots=True)
class _Asked:
    """What nobody can answer is an answer too: a consumer's wrong key is no failure of either way to serve."""

    key: Key
    is_answerable: bool = True

    def control(self) -> Answer:
        try:
            return Answer(compute_fresh(self.key))
        except (NoTarget, CannotCompute) as problem:
            self.is_answerable = False
            return Answer(problem, is_counted=False)

    def candidate(self) -> Answer:
        try:
            served = serve(self.key)
        except NoTarget as problem:
            return Answer(problem, is_counted=False)
        except (CannotCompute, Error) as problem:
            if self._control_can():
                raise
            return Answer(problem, is_counted=False)
        return Answer(served, is_hit=not served.is_computed)

    def _control_can(self) -> bool:
        """Only then the candidate failed; else neither arm can help it."""
        try:
            return not isinstance(self.control().value, Exception)
        except Error:
            return False

    def probe(self) -> bool | None:
        return entries.get(self.key).state is not State.MISSING if self.is_answerable else None

    def same(self, fresh: Any, cached: Any) -> bool | None:
        """None where box scores came in between the two."""
        if not (isinstance(fresh, Served) and isinstance(cached, Served)):
            return None
        if is_close(fresh.found.value, cached.found.value):
            return True
        return None if self._was_of_other_games(cached) else False

    def _was_of_other_games(self, cached: Served) -> bool:
        """Whether what the cache had is right by now, or waits to be computed again: an import makes entries due."""
        record, again = cached.found.record, compute_fresh(self.key)
        if is_close(again.found.value, cached.found.value):
            return True
        stands = CacheEntry.objects.filter(pk=record.row, data_hash=record.digest.hex(), soft_expires_at__gt=Now())
        return not stands.exists()


def is_close(one: Any, other: Any) -> bool:
    """Equal JSON, but for what numbers lose in rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_close(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_close, one, other))
    if isinstance(one, float) or isinstance(other, float):
        are_numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return are_numbers and math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(one == other)
