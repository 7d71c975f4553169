"""manage.py restore"""

from typing import Any

from django.core.management.base import CommandParser

from core.errors import WrongInput
from rollout.choices import RunKind
from rollout.models import RecoveryRun
from rollout.recovery import operations
from rollout.recovery.command import RunCommand
from rollout.recovery.restore import sources
from rollout.recovery.restore.diff import Counts
from rollout.recovery.snapshots import operations as snapshots

ROW = "  {:<28} {:>10,} added {:>10,} changed {:>10,} removed"


class Command(RunCommand):
    help = (
        "Put data back; never a stage. Examples: manage.py restore --undo; manage.py restore --latest --dry-run; "
        "manage.py restore 20261125-023000-1a2b --table portfolio_rationales"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("snapshot", nargs="?", help="its name, or the path of its folder")
        what.add_argument("--latest", action="store_true", help="the newest snapshot")
        what.add_argument("--undo", action="store_true", help="what the last rollback took")
        parser.add_argument("--table", default="", help="that one alone")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, change nothing")
        parser.add_argument("--no-input", action="store_true", help="don't ask")
        parser.add_argument("--reason", default="", help="why, for the record")

    def handle(self, *args: Any, snapshot: str | None = None, **options: Any) -> None:
        if options["undo"]:
            if options["table"]:
                raise WrongInput("--undo takes back all of it", "leave --table out")
            self._undo(options)
        else:
            self._restore(snapshot, options)

    def _restore(self, name: str | None, options: dict[str, Any]) -> None:
        snapshot, only = snapshots.found(name), options["table"]
        if self._shows(options):
            changes = sources.plan(sources.sources(snapshot, only))
            if self._is_over(f"{snapshot.name} would make it:", changes, options):
                return
            self.ask(_shown(f"{snapshot.name} makes it:", changes), "restore")
        run = operations.restore(snapshot, only=only, actor=self.actor, reason=options["reason"])
        self.finish(operations.carry_out(run, progress=self.tell))

    def _undo(self, options: dict[str, Any]) -> None:
        run = operations.undoable()
        if self._shows(options):
            head = f"{run}, of {run.started_at:%Y-%m-%d %H:%M} UTC by {run.actor}, is undone: "
            if run.kind == RunKind.EMERGENCY:
                head, changes = f"{head}the very tables come back, and what was written meanwhile is kept apart.", {}
            else:
                head, changes = f"{head}{run.snapshot} is put back.", sources.plan(operations.sources_of(run))
            if self._is_over(head, changes, options):
                return
            self.ask(_shown(head, changes), "undo")
        undoing = operations.undo(actor=self.actor, reason=options["reason"])
        self.finish(operations.carry_out(undoing, progress=self.tell))

    def _shows(self, options: dict[str, Any]) -> bool:
        return options["dry_run"] or not options["no_input"]

    def _is_over(self, head: str, changes: dict[str, Counts], options: dict[str, Any]) -> bool:
        if options["dry_run"]:
            rows = {table: counts.document() for table, counts in changes.items()}
            self.report({"dry_run": True, "tables": rows}, _shown(head, changes))
        return bool(options["dry_run"])

    def finish(self, run: RecoveryRun) -> None:
        super().finish(run)
        if not self.as_json:
            self.stderr.write("Parts that were switched off stay off: manage.py reactivate --reason '...'")


def _shown(head: str, changes: dict[str, Counts]) -> str:
    rows = [ROW.format(table, counts.added, counts.changed, counts.removed) for table, counts in changes.items()]
    return "\n".join([head, *rows])
