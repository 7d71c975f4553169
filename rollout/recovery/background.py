"""The execution of a run in a thread of the web process: it begins at once, even if no worker lives."""

import threading

from django.db import connection

from rollout.choices import RunKind
from rollout.models import RecoveryRun
from rollout.recovery import operations


def execute_in_background(run: RecoveryRun) -> None:
    """Execute the run in a thread. If this process dies, a worker resumes it. Leave a gradual one to the workers."""
    if run.kind != RunKind.GRADUAL:
        threading.Thread(target=execute_and_disconnect, args=(run,), name=f"slipway-recovery-{run.pk}").start()


def execute_and_disconnect(run: RecoveryRun) -> None:
    """Execute the run, log what stops it, and close this thread's database connection."""
    try:
        with operations.logged_failures(run):
            operations.execute_run(run)
    finally:
        connection.close()
