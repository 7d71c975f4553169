"""What commands that carry out a run have in common: each step told as it ends, and how it went."""

import sys
from typing import Any

from core.commands import SlipwayCommand
from core.text import duration
from rollout.choices import RunOutcome
from rollout.models import RecoveryRun, RecoveryStep
from rollout.recovery.runner import Failed


class RunCommand(SlipwayCommand):
    def tell(self, step: RecoveryStep) -> None:
        """As each step ends, on stderr: stdout is for the document."""
        if not self.as_json:
            outcome = RunOutcome(step.outcome)
            self.stderr.write(f"{outcome.symbol} {step.name}  {step.seconds or 0:.1f} s", ending="\n")
            sys.stderr.flush()

    def finish(self, run: RecoveryRun) -> None:
        """Say how it ended. Raises Failed where it did not do all it should."""
        self.report(document(run), told(run))
        if run.outcome not in (RunOutcome.DONE, RunOutcome.CUT_SHORT):
            failed = run.steps.filter(outcome=RunOutcome.FAILED)
            wrong = "; ".join(f"{step.name}: {step.evidence.get('problem')}" for step in failed) or run.reason
            raise Failed(f"{run}: {wrong}", "see its page in the admin, and ROLLBACK_PLAN.md")


def told(run: RecoveryRun) -> str:
    promise = f", promised {run.promised_seconds} s" if run.can_keep_promise else ""
    snapshot = f"; snapshot {run.snapshot}" if run.snapshot else ""
    took = 0.0 if run.actual_seconds is None else run.actual_seconds
    holds = f" and {duration(run.waived_seconds)} of holds" if run.waived_seconds else ""
    rehearsed = "rehearsed, " if run.is_rehearsal else ""
    return f"{run}: {rehearsed}{RunOutcome(run.outcome).label.lower()} in {took:.1f} s{holds}{promise}{snapshot}"


def document(run: RecoveryRun) -> dict[str, Any]:
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
