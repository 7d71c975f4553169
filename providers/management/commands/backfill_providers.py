"""The command `manage.py backfill_providers`: create the rows of the catalogue."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.errors import WrongInput
from providers.fleet.backfill import CATALOGUE, BackfillResult, Scope, backfill


class Command(SlipwayCommand):
    help = (
        "Create the sports, providers and provider states of the catalogue that do not exist yet. Rows that operators "
        "edited stay as they are, unless --reset is given. Example: manage.py backfill_providers --sport NBA --dry-run"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--sport", help="only this sport, for example NBA", type=str.upper)
        parser.add_argument("--provider", help="only this provider, for example draftkings", type=str.lower)
        parser.add_argument("--file", type=Path, default=CATALOGUE, help="a JSON catalogue instead of the built-in one")
        parser.add_argument("--reset", action="store_true", help="set edited configuration back to the catalogue")
        parser.add_argument("--dry-run", action="store_true", help="print what would be done, and change nothing")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            text = file.read_bytes()
        except OSError as error:
            raise WrongInput(f"cannot read {file}: {error.strerror}", "check the path") from error
        result = backfill(
            text,
            actor=self.actor,
            scope=Scope(options["provider"], options["sport"]),
            reset=options["reset"],
            dry_run=options["dry_run"],
        )
        self.report(result.document(), describe_backfill(result))


def describe_backfill(result: BackfillResult) -> str:
    """Return a line for each state that is created (+), updated (~) or unknown to the catalogue (?), and the counts."""
    lines = ["Dry run: nothing was changed. This would be done:"] if result.dry_run else []
    lines += [f"+ {name}" for name in result.created]
    lines += [f"~ {name}" for name in result.updated]
    lines += [f"? {name} is not in the catalogue" for name in result.unknown]
    lines.append(f"{len(result.created)} created, {len(result.updated)} updated, {len(result.unchanged)} unchanged")
    return "\n".join(lines)
