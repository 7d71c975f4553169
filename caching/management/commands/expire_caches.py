"""The command `manage.py expire_caches`."""

from typing import Any

from django.core.management.base import CommandParser

from caching import operations
from core.commands import SlipwayCommand
from core.db.batches import PRUNE_BATCH


class Command(SlipwayCommand):
    help = "Delete entries whose grace is over. Example: manage.py expire_caches --batch-size 500"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--batch-size", type=int, default=PRUNE_BATCH, help="rows per transaction")
        parser.add_argument("--dry-run", action="store_true", help="count the entries, delete none")

    def handle(self, *args: Any, batch_size: int, dry_run: bool, **options: Any) -> None:
        count = operations.count_expirable()
        if not dry_run:
            count = operations.expire(max(1, batch_size), actor=self.actor, progress=self.progress_bar(count))
        deleted = "would be deleted" if dry_run else "deleted"
        self.report({"expired": count, "dry_run": dry_run}, f"{count} entries {deleted}; flagged entries are kept")
