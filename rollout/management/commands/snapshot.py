"""manage.py snapshot"""

from typing import Any

from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.errors import WrongInput
from rollout.models import Snapshot
from rollout.recovery.snapshots import operations

ROW = "{:<22} {:%Y-%m-%d %H:%M}  {:>12,} {:>9.1f} {:>7.1f}  {:<16} {:<20} {}"
HEAD = "{:<22} {:<16}  {:>12} {:>9} {:>7}  {:<16} {:<20} {}"


class Command(SlipwayCommand):
    help = (
        "Recovery snapshots of all protected tables. "
        "Examples: manage.py snapshot create --reason 'before the upgrade'; manage.py snapshot verify"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("verb", choices=["create", "list", "verify", "prune"])
        parser.add_argument("name", nargs="?", help="which one to verify; the newest if left out")
        parser.add_argument("--reason", default="", help="what it is made for")

    def handle(self, *args: Any, verb: str, name: str | None, reason: str, **options: Any) -> None:
        if name and verb != "verify":
            raise WrongInput(f"{verb} takes no name", f"leave {name[:40]} out")
        getattr(self, f"_{verb}")(name, reason)

    def _create(self, name: str | None, reason: str) -> None:
        made = operations.create(actor=self.actor, reason=reason)
        size = f"{made.rows:,} rows of {made.tables} tables, {made.size_bytes / 1e6:.1f} MB in {made.seconds:.1f} s"
        self.report(document(made), f"{made.name}: {size}\n{made.folder}")

    def _list(self, name: str | None, reason: str) -> None:
        rows = list(Snapshot.objects.all())
        lines = [HEAD.format("name", "made", "rows", "MB", "s", "verified", "host", "reason")] if rows else []
        lines += [
            ROW.format(
                each.name,
                each.created_at,
                each.rows,
                each.size_bytes / 1e6,
                each.seconds,
                "damaged" if each.problem else f"{each.verified_at:%Y-%m-%d %H:%M}" if each.verified_at else "not yet",
                each.host[:20],
                each.reason,
            ).rstrip()
            for each in rows
        ]
        text = "\n".join(lines) or "There is none yet: manage.py snapshot create"
        self.report({"snapshots": [document(each) for each in rows]}, text)

    def _verify(self, name: str | None, reason: str) -> None:
        snapshot = operations.found(name)
        manifest = operations.verify(snapshot, actor=self.actor, progress=self.bar(snapshot.rows or 0))
        rows = sum(table.rows for table in manifest.tables)
        told = f"{snapshot.name} is whole: {len(manifest.tables)} tables, {rows:,} rows read back"
        if snapshot.pk is None:  # brought here from elsewhere
            self.report({"name": snapshot.name, "folder": snapshot.folder, "rows": rows}, told)
            return
        snapshot.refresh_from_db()
        self.report(document(snapshot), told)

    def _prune(self, name: str | None, reason: str) -> None:
        gone = operations.prune(actor=self.actor)
        self.report({"deleted": gone}, f"deleted: {', '.join(gone)}" if gone else "nothing is old enough")


def document(each: Snapshot) -> dict[str, Any]:
    told = ("name", "host", "folder", "reason", "made_by", "tables", "rows", "size_bytes", "problem")
    times = {"created_at": each.created_at.isoformat(), "seconds": round(each.seconds, 3)}
    verified = each.verified_at.isoformat() if each.verified_at else None
    return {name: getattr(each, name) for name in told} | times | {"verified_at": verified}
