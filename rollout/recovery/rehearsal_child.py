"""The rehearsal in the scratch database, a process of its own.

Run as: python -m rollout.recovery.rehearsal_child LEVEL SNAPSHOT_FOLDER
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

import django
import redis
from django.core.management import call_command

from core.access.actors import Machine
from core.errors import SlipwayError, first_line
from core.redaction import redact
from core.redis import client, key
from rollout.choices import RunKind, RunOutcome, RunState, Stage
from rollout.recovery.rollback.rehearsal_report import RehearsalReport, RehearsedStep


def main(level: str, snapshot_folder: str) -> None:
    """Migrate the empty database, rehearse, print the report as the last line, and delete the child's Redis keys."""
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    try:
        sys.stdout.write(json.dumps(_rehearse(RunKind(level), Path(snapshot_folder).resolve())) + "\n")
    finally:
        _delete_redis_keys()


def _delete_redis_keys() -> None:
    with suppress(redis.RedisError):
        for name in client().scan_iter(key("*"), count=1000):
            client().unlink(name)


def _rehearse(level: RunKind, snapshot_folder: Path) -> RehearsalReport:
    # Django refuses to define a model before django.setup(), and these modules import models.
    from rollout.models import RecoveryStep, Rollout
    from rollout.recovery import operations
    from rollout.recovery.snapshots.operations import find_snapshot

    def report(step: RecoveryStep, prefix: str = "") -> RehearsedStep:
        return {
            "name": f"{prefix}{step.name}",
            "outcome": step.outcome,
            "evidence": step.evidence,
            "started_at": step.started_at.isoformat(),
            "ended_at": (step.ended_at or step.started_at).isoformat(),
        }

    actor, problem = Machine(operations.REHEARSER), ""
    operations.execute_run(operations.restore(find_snapshot(str(snapshot_folder)), actor=actor))
    # The real rollouts may be in any stage; a rehearsal always goes the longest way.
    Rollout.objects.update(stage=Stage.FULL_ACTIVE, run_state=RunState.RUNNING, percent=100)
    pace = 0 if level is RunKind.GRADUAL else 1
    run = operations.roll_back(level, actor=actor, reason="rehearsal", pace=pace)
    undo_steps: list[RehearsedStep] = []
    try:
        run = operations.execute_run(run)
        if run.kind != RunKind.GRADUAL:
            undo = operations.execute_run(operations.undo(actor=actor))
            undo_steps = [report(step, "undo: ") for step in undo.steps.order_by("pk")]
    except Exception as error:
        problem = redact(str(error) if isinstance(error, SlipwayError) else first_line(error, type(error).__name__))
    run.refresh_from_db()
    is_undone = all(step["outcome"] == RunOutcome.DONE for step in undo_steps)
    return {
        "outcome": run.outcome if is_undone and not problem else RunOutcome.FAILED.value,
        "problem": problem,
        "started_at": run.started_at.isoformat(),
        "ended_at": (run.ended_at or run.started_at).isoformat(),
        "steps": [*(report(step) for step in run.steps.order_by("pk")), *undo_steps],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
