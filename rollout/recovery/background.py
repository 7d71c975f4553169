"""A run carried out beside the request that asked for it: at once, whether or not a worker lives."""

import threading

import structlog
from django.db import connection

from rollout.choices import Kind
from rollout.errors import SlipwayError
from rollout.recovery import operations
from rollout.recovery.models import RecoveryRun

log = structlog.get_logger("slipway.recovery")


def carry_out(run: RecoveryRun) -> None:
    """In a thread; where this process dies, a worker takes it up. A gradual one is for beat and the workers."""
    if run.kind != Kind.GRADUAL:
        threading.Thread(target=_carry_out, args=(run,), name=f"slipway-recovery-{run.pk}").start()


def _carry_out(run: RecoveryRun) -> None:
    try:
        operations.carry_out(run)
    except SlipwayError as error:  # which is on record, and people were told
        log.warning("a recovery run failed", run=str(run), problem=str(error))
    except Exception:
        log.exception("a recovery run broke", run=str(run))
    finally:
        connection.close()
