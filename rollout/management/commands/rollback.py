"""manage.py rollback"""

from typing import Any

from django.core.management.base import CommandParser

from core.errors import WrongInput
from core.text import duration
from rollout.choices import RunKind
from rollout.models import LEVELS, RecoveryRun
from rollout.recovery import operations
from rollout.recovery.admin.context import usually
from rollout.recovery.command import RunCommand
from rollout.recovery.rollback import levels, rehearsal
from rollout.recovery.runner import PROMISED


class Command(RunCommand):
    help = (
        "Go back. Examples: manage.py rollback --level standard --dry-run; "
        "manage.py rollback --level emergency --reason 'wrong odds'; manage.py rollback --level gradual --pace 0.05"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--level", choices=[level.value for level in LEVELS], help="how fast, and how far")
        what.add_argument("--purge", type=int, metavar="RUN", help="drop for good what an emergency took out")
        what.add_argument("--pause", action="store_true", help="have the gradual one stay where it is")
        what.add_argument("--resume", action="store_true", help="have it go on")
        parser.add_argument("--pace", type=float, default=1.0, help="of gradual's holds; 0.05 makes 3 min 9 s")
        parser.add_argument("--dry-run", action="store_true", help="show the plan, change nothing")
        parser.add_argument("--no-input", action="store_true", help="don't ask")
        parser.add_argument("--rehearse", action="store_true", help="on a copy: the level and its undo")
        parser.add_argument("--reason", default="", help="why, for the record")

    def handle(self, *args: Any, level: str | None, purge: int | None, **options: Any) -> None:
        if options["dry_run"] and (not level or options["rehearse"]):
            raise WrongInput("--dry-run shows the plan of a level", "leave it out, or give --level alone")
        if options["pause"] or options["resume"]:
            self._hold(options["pause"], options["reason"])
        elif purge is not None:
            self._purge(purge, options)
        elif level and options["rehearse"]:
            self._rehearse(RunKind(level))
        elif level:
            self._roll_back(RunKind(level), options)

    def _roll_back(self, level: RunKind, options: dict[str, Any]) -> None:
        plan = levels.plan(level, options["pace"])
        if options["dry_run"]:
            document = {"level": level.value, "promised_seconds": PROMISED[level], "dry_run": True}
            self.report(document | {"steps": [planned(each) for each in plan]}, shown(level, plan))
            return
        if not options["no_input"]:
            self.ask(shown(level, plan), level.value)
        run = operations.roll_back(level, actor=self.actor, reason=options["reason"], pace=options["pace"])
        self.finish(operations.carry_out(run, progress=self.tell))

    def _purge(self, pk: int, options: dict[str, Any]) -> None:
        run = operations.purgeable(pk)
        if not options["no_input"]:
            kept = f"Snapshot {run.snapshot or 'made first'}, read back before, is all that is left of it then."
            meanwhile = f"What was written while {run} stood is dropped for good: no snapshot holds it."
            told = meanwhile if run.is_undone else f"What {run} took out of service is dropped for good. {kept}"
            self.ask(told, f"purge {pk}")
        self.finish(operations.carry_out(operations.purge(pk, actor=self.actor, reason=options["reason"])))

    def _hold(self, pausing: bool, reason: str) -> None:
        run = RecoveryRun.objects.open().filter(kind=RunKind.GRADUAL).first()
        if run is None:
            raise WrongInput("no gradual rollback is under way", "see Recovery runs in the admin")
        act = operations.pause if pausing else operations.resume
        changed = act(run, actor=self.actor, reason=reason)
        now = "stays where it is" if pausing else "goes on"
        self.report({"run_id": run.pk, "changed": changed}, f"{run} {now}{'' if changed else ', as before'}")

    def _rehearse(self, level: RunKind) -> None:
        run = rehearsal.rehearse(level, actor=self.actor)
        self.finish(run)


def planned(each: levels.Planned) -> dict[str, Any]:
    return {"name": each.name, "says": each.says, "estimated_seconds": each.seconds}


def shown(level: RunKind, plan: list[levels.Planned]) -> str:
    lines = [f"{level.label} rollback, promised in {duration(PROMISED[level])}:"]
    for each in plan:
        lines.append(f"  {each.name:<22} {usually(each.seconds):>17}  {each.says}")
    return "\n".join(lines)
