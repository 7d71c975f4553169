"""The command `manage.py warm_caches`."""

from typing import Any

from django.core.management.base import CommandParser

from caching import operations
from caching.choices import WarmOutcome
from caching.tiers.entries import TYPES
from caching.warming.results import WarmResult
from caching.warming.warm import warm_each
from core.commands import SlipwayCommand
from core.errors import WrongInput

ROW = "{:<10} {:<40} {:>7} {:>10} {:>7}  {}"


class Command(SlipwayCommand):
    help = "Compute the entries of the caches. Example: manage.py warm_caches --type player --sport NBA --force"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--type", choices=list(TYPES), help="only this type")
        parser.add_argument("--sport", type=str.upper, help="only this sport, such as NBA")
        parser.add_argument("--force", action="store_true", help="compute fresh entries again too")
        parser.add_argument("--dry-run", action="store_true", help="list the targets, compute nothing")

    def handle(self, *args: Any, type: str | None, sport: str | None, force: bool, **options: Any) -> None:
        targets = list(operations.find_targets(TYPES[type] if type else None, sport))
        if not targets:
            raise WrongInput(
                "cannot warm the caches: no target matches",
                "see Cache targets in the admin, or leave --type and --sport out",
            )
        if options["dry_run"]:
            names = [target.cache_key for target in targets]
            self.report({"targets": names}, "\n".join(names))
            return
        advance = self.progress_bar(len(targets))
        results: list[WarmResult] = []
        for result in warm_each(targets, actor=self.actor, force=force):
            results.append(result)
            advance(1)
        self.report({"entries": [result.document() for result in results]}, results_table(results))
        if any(result.outcome == WarmOutcome.FAILED for result in results):
            raise SystemExit(1)


def results_table(results: list[WarmResult]) -> str:
    """Return one line per target, under a line of headings."""
    lines = [ROW.format("outcome", "key", "games", "confidence", "ms", "")]
    lines += [
        ROW.format(
            result.outcome.value,
            result.cache_key,
            result.sample_size,
            f"{result.confidence:.2f}",
            f"{result.ms:.1f}",
            result.problem,
        )
        for result in results
    ]
    return "\n".join(line.rstrip() for line in lines)
