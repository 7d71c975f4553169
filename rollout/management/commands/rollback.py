"""The command `manage.py rollback`."""

from typing import Any

from django.core.management.base import CommandParser

from core.errors import WrongInput
from rollout.choices import RunKind
from rollout.models import LEVELS, RecoveryRun
from rollout.recovery import operations
from rollout.recovery.command import RunCommand
from rollout.recovery.rollback import rehearsal
from rollout.recovery.rollback.plan import PlannedStep, describe_plan, plan_level
from rollout.recovery.runner import LIST_REMEDY, PROMISED


class Command(RunCommand):
    help = (
        "Go back to the old way of serving. Examples: manage.py rollback --level standard --dry-run; "
        "manage.py rollback --level emergency --reason 'wrong odds'; manage.py rollback --level gradual --pace 0.05"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        action = parser.add_mutually_exclusive_group(required=True)
        action.add_argument("--level", choices=[level.value for level in LEVELS], help="how fast, and how far, to go")
        action.add_argument("--purge", type=int, metavar="RUN", help="drop a quarantine permanently")
        action.add_argument("--pause", action="store_true", help="hold the gradual rollback where it is")
        action.add_argument("--resume", action="store_true", help="let the gradual rollback continue")
        parser.add_argument(
            "--pace",
            type=float,
            default=1.0,
            help="the factor of a gradual rollback's holds: at 0.05 a hold of 3 min takes 9 s",
        )
        parser.add_argument("--dry-run", action="store_true", help="show the plan, change nothing")
        parser.add_argument("--no-input", action="store_true", help="do not ask for a confirmation")
        parser.add_argument("--rehearse", action="store_true", help="execute the level and its undo on a copy")
        parser.add_argument("--reason", default="", help="why; it is recorded with the run")

    def handle(self, *args: Any, level: str | None, purge: int | None, **options: Any) -> None:
        if options["dry_run"] and (not level or options["rehearse"]):
            raise WrongInput("cannot show this: --dry-run shows the plan of a level", "use --level without --rehearse")
        if options["pause"] or options["resume"]:
            self._hold(options["pause"], options["reason"])
        elif purge is not None:
            self._purge(purge, options)
        elif level and options["rehearse"]:
            self.report_run(rehearsal.rehearse(RunKind(level), actor=self.actor))
        elif level:
            self._roll_back(RunKind(level), options)

    def _roll_back(self, level: RunKind, options: dict[str, Any]) -> None:
        planned = plan_level(level, options["pace"])
        if options["dry_run"]:
            document = {"level": level.value, "promised_seconds": PROMISED[level], "dry_run": True}
            steps = [step_document(step) for step in planned]
            self.report(document | {"steps": steps}, describe_plan(level, planned))
            return
        if not options["no_input"]:
            self.confirm(describe_plan(level, planned), level.value)
        run = operations.roll_back(level, actor=self.actor, reason=options["reason"], pace=options["pace"])
        self.report_run(operations.execute_run(run, progress=self.print_step))

    def _purge(self, pk: int, options: dict[str, Any]) -> None:
        run = operations.find_purgeable(pk)
        if not options["no_input"]:
            self.confirm(_describe_purge(run), f"purge {pk}")
        purging = operations.purge(pk, actor=self.actor, reason=options["reason"])
        self.report_run(operations.execute_run(purging, progress=self.print_step))

    def _hold(self, is_pause: bool, reason: str) -> None:
        run = RecoveryRun.objects.open().filter(kind=RunKind.GRADUAL).first()
        verb = "pause" if is_pause else "resume"
        if run is None:
            raise WrongInput(f"cannot {verb}: no gradual rollback is under way", LIST_REMEDY)
        operation = operations.pause_run if is_pause else operations.resume_run
        changed = operation(run, actor=self.actor, reason=reason)
        state = "holds where it is" if is_pause else "continues"
        self.report({"run_id": run.pk, "changed": changed}, f"{run} {state}{'' if changed else ', as before'}")


def _describe_purge(run: RecoveryRun) -> str:
    if run.is_undone:
        return f"The rows that were written while {run} was in effect are dropped permanently. No snapshot holds them."
    if run.snapshot:
        copy = f"Snapshot {run.snapshot} is read back first. It is the only copy afterwards."
    else:
        copy = "A snapshot is taken and read back first. It is the only copy afterwards."
    return f"The tables that {run} took out of service are dropped permanently. {copy}"


def step_document(step: PlannedStep) -> dict[str, Any]:
    """Return the JSON document of a planned step; its keys are a contract with other programs."""
    return {"name": step.name, "says": step.summary, "estimated_seconds": step.seconds}
