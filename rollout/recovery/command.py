"""The base of the commands that execute a run: they print each step as it ends, and the result."""

import sys
from typing import Any

from core.commands import SlipwayCommand
from core.text import duration
from rollout.choices import RunOutcome
from rollout.models import RecoveryRun, RecoveryStep
from rollout.recovery.runner import Failed, promise_clause


class RunCommand(SlipwayCommand):
    def print_step(self, step: RecoveryStep) -> None:
        """Print the step on stderr; stdout is for the document."""
        if not self.as_json:
            symbol = RunOutcome(step.outcome).symbol
            self.stderr.write(f"{symbol} {step.name}  {step.seconds or 0:.1f} s", ending="\n")
            sys.stderr.flush()

    def report_run(self, run: RecoveryRun) -> None:
        """Print how the run ended. Raise Failed if it did not do all that it should."""
        self.report(run_document(run), describe_run(run))
        if run.outcome not in (RunOutcome.DONE, RunOutcome.CUT_SHORT):
            failed = run.steps.filter(outcome=RunOutcome.FAILED)
            problems = "; ".join(f"{step.name}: {step.evidence.get('problem')}" for step in failed) or run.reason
            raise Failed(
                f"{run} failed: {problems}",
                f"see its steps at /admin/rollout/recoveryrun/{run.pk}/change/, and follow ROLLBACK_PLAN.md",
            )


def describe_run(run: RecoveryRun) -> str:
    """Return how the run ended, in one line."""
    name = f"{run}, a rehearsal" if run.is_rehearsal else str(run)
    outcome = RunOutcome(run.outcome).label.lower()
    holds = f" and {duration(run.waived_seconds)} of holds" if run.waived_seconds else ""
    snapshot = f"; snapshot {run.snapshot}" if run.snapshot else ""
    return f"{name}: {outcome} in {run.actual_seconds or 0:.1f} s{holds}{promise_clause(run)}{snapshot}"


def run_document(run: RecoveryRun) -> dict[str, Any]:
    """Return the JSON document of the run; its keys are a contract with other programs."""
    return {
        "level": run.kind,
        "run_id": run.pk,
        "promised_seconds": run.promised_seconds,
        "actual_seconds": run.actual_seconds,
        "outcome": run.outcome,
        "snapshot": run.snapshot,
        "pace": run.pace,
        "steps": [
            {"name": step.name, "seconds": step.seconds, "outcome": step.outcome, "evidence": step.evidence}
            for step in run.steps.order_by("pk")
        ],
    }
