"""Leases on targets: one worker at a time computes a target, and a late worker stores nothing.

core.db.leases describes leases and fences. These statements lease, hold and release many targets at once.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from caching import sql
from caching.models import CacheTarget
from caching.warming.results import Computation

LEASE_SECONDS = 60  # many times what the computation of twenty targets from 4,000 games takes


def lease_targets(targets: Sequence[CacheTarget], *, force: bool) -> dict[int, int]:
    """Lease the targets that no other worker holds. Return the fence of each leased target, by its id.

    Targets whose entry is fresh by now are leased only with `force`.
    """
    if not targets:
        return {}
    ids = [target.pk for target in targets]
    with connection.cursor() as cursor:
        cursor.execute(sql.LEASE_TARGETS, {"targets": ids, "lease_seconds": LEASE_SECONDS, "force": force})
        return dict(cursor.fetchall())


def hold_leases(cursor: Any, computations: Sequence[Computation]) -> set[int]:
    """Lock the targets that are still this worker's, until the transaction ends. Return their ids.

    A target is not held if its lease was lost, or if another version of it is wanted by now.
    """
    params = {
        "targets": [each.target.pk for each in computations],
        "fences": [each.fence for each in computations],
        "versions": [each.target.model_version for each in computations],
    }
    cursor.execute(sql.HOLD_TARGETS, params)
    return {pk for (pk,) in cursor.fetchall()}


def end_leases(cursor: Any, ended: Iterable[tuple[Computation, str]]) -> None:
    """Release the targets that are still this worker's, and store each one's last error; empty if there is none."""
    rows = [(computation.target.pk, computation.fence, error) for computation, error in ended]
    if rows:
        targets, fences, errors = map(list, zip(*rows, strict=True))
        cursor.execute(sql.END_LEASES, {"targets": targets, "fences": fences, "errors": errors})
