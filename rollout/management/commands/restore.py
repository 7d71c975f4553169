"""The command `manage.py restore`."""

from typing import Any

from django.core.management.base import CommandParser

from core.errors import WrongInput
from rollout.choices import RunKind
from rollout.models import RecoveryRun
from rollout.recovery import operations
from rollout.recovery.command import RunCommand
from rollout.recovery.restore import sources
from rollout.recovery.restore.diff import ChangeCounts
from rollout.recovery.rollback.step_actions import sources_of
from rollout.recovery.snapshots import operations as snapshots

ROW = "  {:<28} {:>10,} added {:>10,} changed {:>10,} removed"


class Command(RunCommand):
    help = (
        "Put data back, never a stage. Examples: manage.py restore --undo; manage.py restore --latest --dry-run; "
        "manage.py restore 20261125-023000-1a2b --table portfolio_rationales"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("snapshot", nargs="?", help="the name of a snapshot, or the path of its folder")
        source.add_argument("--latest", action="store_true", help="restore the newest snapshot")
        source.add_argument("--undo", action="store_true", help="take back what the last rollback did to the data")
        parser.add_argument("--table", default="", help="restore only this table")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, change nothing")
        parser.add_argument("--no-input", action="store_true", help="do not ask for a confirmation")
        parser.add_argument("--reason", default="", help="why; it is recorded with the run")

    def handle(self, *args: Any, snapshot: str | None = None, **options: Any) -> None:
        if options["undo"]:
            if options["table"]:
                raise WrongInput("cannot undo one table: --undo takes back the whole rollback", "leave --table out")
            self._undo(options)
        else:
            self._restore(snapshot, options)

    def _restore(self, name: str | None, options: dict[str, Any]) -> None:
        snapshot, only = snapshots.find_snapshot(name), options["table"]
        if not only and (tables := sources.tables_left_out(snapshot)):
            self.stderr.write(
                f"A restore of {snapshot.name} leaves these tables out, because no installed app protects them: "
                f"{', '.join(tables)}"
            )
        if _needs_plan(options):
            counts = sources.plan_changes(sources.table_sources(snapshot, only))
            if not self._may_go_on(f"A restore of {snapshot.name} changes these rows:", counts, "restore", options):
                return
        run = operations.restore(snapshot, only=only, actor=self.actor, reason=options["reason"])
        self.report_run(operations.execute_run(run, progress=self.print_step))

    def _undo(self, options: dict[str, Any]) -> None:
        run = operations.find_undoable()
        if _needs_plan(options):
            counts = {} if run.kind == RunKind.EMERGENCY else sources.plan_changes(sources_of(run))
            if not self._may_go_on(_describe_undo(run), counts, "undo", options):
                return
        undo = operations.undo(actor=self.actor, reason=options["reason"])
        self.report_run(operations.execute_run(undo, progress=self.print_step))

    def _may_go_on(self, head: str, counts: dict[str, ChangeCounts], word: str, options: dict[str, Any]) -> bool:
        """Print what would change if it is a dry run, else ask for a confirmation. Return whether to go on."""
        if not options["dry_run"]:
            self.confirm(describe_changes(head, counts), word)
            return True
        tables = {table: count.as_dict() for table, count in counts.items()}
        self.report({"dry_run": True, "tables": tables}, describe_changes(head, counts))
        return False

    def report_run(self, run: RecoveryRun) -> None:
        super().report_run(run)
        if not self.as_json:
            self.stderr.write(
                "Parts that were switched off stay off. To switch them on: manage.py reactivate --reason '...'"
            )


def _needs_plan(options: dict[str, Any]) -> bool:
    return options["dry_run"] or not options["no_input"]


def _describe_undo(run: RecoveryRun) -> str:
    head = f"The undo of {run}, begun at {run.started_at:%Y-%m-%d %H:%M} UTC by {run.actor}"
    if run.kind == RunKind.EMERGENCY:
        return f"{head}, moves its tables back. Rows that were written since then are kept apart."
    return f"{head}, restores {run.snapshot} and changes these rows:"


def describe_changes(head: str, counts: dict[str, ChangeCounts]) -> str:
    """Return the numbers of rows that a restore changes, one line per table under the head."""
    rows = [ROW.format(table, count.added, count.changed, count.removed) for table, count in counts.items()]
    return "\n".join([head, *rows])
