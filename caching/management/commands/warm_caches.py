"""manage.py warm_caches"""

from typing import Any

from django.core.management.base import CommandParser

from caching import operations
from caching.choices import Outcome
from caching.tiers.entries import TYPES
from caching.warming.leases import Warmed
from caching.warming.warm import warm
from core.commands import SlipwayCommand
from core.errors import WrongInput

ROW = "{:<10} {:<40} {:>7} {:>10} {:>7}  {}"


class Command(SlipwayCommand):
    help = "Compute what the caches are to hold. Example: manage.py warm_caches --type player --sport NBA --force"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--type", choices=list(TYPES), help="only this type")
        parser.add_argument("--sport", type=str.upper, help="only this sport, as NBA")
        parser.add_argument("--force", action="store_true", help="also what is still fresh")
        parser.add_argument("--dry-run", action="store_true", help="list the targets, compute nothing")

    def handle(self, *args: Any, type: str | None, sport: str | None, force: bool, **options: Any) -> None:
        wanted = list(operations.targets(TYPES[type] if type else None, sport))
        if not wanted:
            raise WrongInput("no target matches", "see the targets in the admin, or leave --type and --sport out")
        if options["dry_run"]:
            names = [target.cache_key for target in wanted]
            self.report({"targets": names}, "\n".join(names))
            return
        advance = self.bar(len(wanted))
        done = warm(wanted, actor=self.actor, force=force, progress=lambda warmed: advance(1))
        self.report({"entries": [warmed.document() for warmed in done]}, table(done))
        if any(warmed.outcome == Outcome.FAILED for warmed in done):
            raise SystemExit(1)


def table(done: list[Warmed]) -> str:
    lines = [ROW.format("outcome", "key", "games", "confidence", "ms", "")]
    lines += [
        ROW.format(w.outcome.value, w.cache_key, w.sample_size, f"{w.confidence:.2f}", f"{w.ms:.1f}", w.problem)
        for w in done
    ]
    return "\n".join(line.rstrip() for line in lines)
