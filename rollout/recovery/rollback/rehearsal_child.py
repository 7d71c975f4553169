"""The part of a rehearsal in the scratch database: `python -m rollout.recovery.rollback.rehearsal_child LEVEL DIR`."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import django
import redis
from django.core.management import call_command


def main(level: str, folder: str) -> None:
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    try:
        sys.stdout.write(json.dumps(_rehearsed(level, folder)) + "\n")
    finally:
        _forget()


def _forget() -> None:
    """Its keys in Redis."""
    from core.redis import client, key

    with suppress(redis.RedisError):
        for name in client().scan_iter(key("*"), count=1000):
            client().unlink(name)


def _rehearsed(level: str, folder: str) -> dict[str, Any]:
    from core.access.actors import Machine
    from core.errors import SlipwayError, first_line
    from core.redaction import redact
    from rollout.choices import RunKind, RunOutcome
    from rollout.models import Rollout
    from rollout.recovery import operations
    from rollout.recovery.snapshots import operations as snapshots

    actor, problem = Machine(operations.REHEARSER), ""
    operations.carry_out(operations.restore(snapshots.found(str(Path(folder).resolve())), actor=actor))
    # Whatever stage the real ones have: a rehearsal is of the longest way.
    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100)
    run = operations.roll_back(RunKind(level), actor=actor, reason="rehearsal", pace=0 if level == "gradual" else 1)
    steps = []
    try:
        run = operations.carry_out(run)
        if run.kind != RunKind.GRADUAL:
            undone = operations.carry_out(operations.undo(actor=actor))
            steps = [_told(step) | {"name": f"undo: {step.name}"} for step in undone.steps.order_by("pk")]
    except Exception as error:
        problem = redact(str(error) if isinstance(error, SlipwayError) else first_line(error, type(error).__name__))
    run.refresh_from_db()
    outcome = run.outcome if not problem and all(s["outcome"] == RunOutcome.DONE for s in steps) else RunOutcome.FAILED
    return {
        "outcome": outcome,
        "problem": problem,
        "started_at": run.started_at.isoformat(),
        "ended_at": (run.ended_at or run.started_at).isoformat(),
        "steps": [*map(_told, run.steps.order_by("pk")), *steps],
    }


def _told(step: Any) -> dict[str, Any]:
    ended = step.ended_at or step.started_at
    times = {"started_at": step.started_at.isoformat(), "ended_at": ended.isoformat()}
    return {"name": step.name, "outcome": str(step.outcome), "evidence": step.evidence} | times


if __name__ == "__main__":
    main(*sys.argv[1:])
