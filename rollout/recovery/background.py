"""A run carried out beside the request that asked for it: at once, whether or not a worker lives."""

import threading

from django.db import connection

from rollout.choices import RunKind
from rollout.models import RecoveryRun
from rollout.recovery import operations


def carry_out(run: RecoveryRun) -> None:
    """In a thread; where this process dies, a worker takes it up. A gradual one is for beat and the workers."""
    if run.kind != RunKind.GRADUAL:
        threading.Thread(target=_carry_out, args=(run,), name=f"slipway-recovery-{run.pk}").start()


def _carry_out(run: RecoveryRun) -> None:
    try:
        with operations.logged(run):
            operations.carry_out(run)
    finally:
        connection.close()
