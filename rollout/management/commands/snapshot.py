"""The command `manage.py snapshot`."""

from typing import Any

from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.errors import WrongInput
from rollout.models import Snapshot
from rollout.recovery.snapshots import operations

ROW = "{:<22} {:<16}  {:>12} {:>9} {:>7}  {:<16} {:<20} {}"
HEADINGS = ("name", "made (UTC)", "rows", "MB", "seconds", "verified (UTC)", "host", "reason")
MINUTE = "%Y-%m-%d %H:%M"
JSON_COLUMNS = ("name", "host", "folder", "reason", "made_by", "tables", "rows", "size_bytes", "problem")


class Command(SlipwayCommand):
    help = (
        "Create, list, verify and prune recovery snapshots of all protected tables. "
        "Examples: manage.py snapshot create --reason 'before the upgrade'; manage.py snapshot verify"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("verb", choices=["create", "list", "verify", "prune"])
        parser.add_argument(
            "name", nargs="?", help="verify: the snapshot's name, or the path of its folder; default: the newest one"
        )
        parser.add_argument("--reason", default="", help="create: the reason, for the record")

    def handle(self, *args: Any, verb: str, name: str | None, reason: str, **options: Any) -> None:
        if name and verb != "verify":
            raise WrongInput(f"cannot use a name with {verb}: only verify takes one", f"leave out {name[:40]}")
        match verb:
            case "create":
                self._create(reason)
            case "list":
                self._list()
            case "verify":
                self._verify(name)
            case "prune":
                self._prune()

    def _create(self, reason: str) -> None:
        snapshot = operations.create(actor=self.actor, reason=reason)
        amount = f"{snapshot.rows:,} rows of {snapshot.tables} tables, {snapshot.size_bytes / 1e6:.1f} MB"
        text = f"{snapshot.name}: {amount}, created in {snapshot.seconds:.1f} s\n{snapshot.folder}"
        self.report(snapshot_document(snapshot), text)

    def _list(self) -> None:
        snapshots = list(Snapshot.objects.all())
        lines = [ROW.format(*HEADINGS), *map(_list_row, snapshots)]
        text = "\n".join(lines) if snapshots else "There is no snapshot yet; run: manage.py snapshot create"
        self.report({"snapshots": [snapshot_document(snapshot) for snapshot in snapshots]}, text)

    def _verify(self, name: str | None) -> None:
        snapshot = operations.find_snapshot(name)
        manifest = operations.verify(snapshot, actor=self.actor, progress=self.progress_bar(snapshot.rows or 0))
        rows = sum(table.rows for table in manifest.tables)
        text = f"{snapshot.name} is complete and unaltered: {len(manifest.tables)} tables, {rows:,} rows read back"
        if snapshot.pk is None:  # a folder from another machine has no row here
            self.report({"name": snapshot.name, "folder": snapshot.folder, "rows": rows}, text)
            return
        snapshot.refresh_from_db()
        self.report(snapshot_document(snapshot), text)

    def _prune(self) -> None:
        deleted = operations.prune(actor=self.actor)
        text = f"deleted: {', '.join(deleted)}" if deleted else "deleted nothing: no snapshot is old enough"
        self.report({"deleted": deleted}, text)


def _list_row(snapshot: Snapshot) -> str:
    if snapshot.problem:
        verified = "damaged"
    elif snapshot.verified_at:
        verified = snapshot.verified_at.strftime(MINUTE)
    else:
        verified = "not yet"
    return ROW.format(
        snapshot.name,
        snapshot.created_at.strftime(MINUTE),
        f"{snapshot.rows:,}",
        f"{snapshot.size_bytes / 1e6:.1f}",
        f"{snapshot.seconds:.1f}",
        verified,
        snapshot.host[:20],
        snapshot.reason,
    ).rstrip()


def snapshot_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return the snapshot as the JSON document that the command prints."""
    return {column: getattr(snapshot, column) for column in JSON_COLUMNS} | {
        "created_at": snapshot.created_at.isoformat(),
        "seconds": round(snapshot.seconds, 3),
        "verified_at": snapshot.verified_at.isoformat() if snapshot.verified_at else None,
    }
