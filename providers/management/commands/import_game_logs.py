"""The command `manage.py import_game_logs`: import box scores from a file or from the stub feed."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.errors import WrongInput
from providers.gamelogs import operations
from providers.gamelogs.columns import first_columns, valid_mapping
from providers.gamelogs.loader import BadFile, Imported


class Command(SlipwayCommand):
    help = (
        "Import box scores from a CSV file. The import is one transaction: if a row is bad, its line is printed and "
        "nothing is stored, unless --skip-bad is given. The same file may be imported again. "
        "Example: manage.py import_game_logs stats.csv --sport NFL --schedule games.csv --dry-run"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", nargs="?", metavar="FILE", help="a CSV file in UTF-8, one line per player and game")
        parser.add_argument("--from-stub", action="store_true", help="import the stub feed's synthetic season instead")
        parser.add_argument("--sport", required=True, type=str.upper, help="the sport of the box scores, such as NBA")
        parser.add_argument(
            "--format", choices=["nflverse", "plain"], default="", help="the file's format (default: by its columns)"
        )
        parser.add_argument(
            "--schedule", metavar="F", help="nflverse's games.csv with dates and games, for its player statistics"
        )
        parser.add_argument(
            "--map", metavar="M.json", help='a JSON file of column to statistic or field, such as {"PTS": "points"}'
        )
        parser.add_argument("--skip-bad", action="store_true", help="store the good rows even if others are bad")
        parser.add_argument("--dry-run", action="store_true", help="read and check the whole file, and store nothing")

    def handle(self, *args: Any, file: str | None, from_stub: bool, sport: str, **options: Any) -> None:
        if bool(file) == from_stub:
            raise WrongInput(
                f"the source must be either FILE or --from-stub (got {'both' if file else 'neither'})",
                "run: manage.py import_game_logs --help",
            )
        try:
            imported = self.import_stub(sport, options) if from_stub else self.import_file(str(file), sport, options)
        except BadFile as error:
            self.print_bad_rows(error.imported)
            if self.as_json:
                self.report(error.imported.document(), "")
            raise
        self.print_bad_rows(imported)
        self.report(imported.document(), describe_import(imported))

    def import_stub(self, sport: str, options: dict[str, Any]) -> Imported:
        if not settings.STUB_FEED_URL:
            raise WrongInput(
                "cannot import from the stub feed: STUB_FEED_URL is not set", "set it in .env, or name a FILE"
            )
        return operations.import_stub(settings.STUB_FEED_URL, sport, actor=self.actor, dry_run=options["dry_run"])

    def import_file(self, file: str, sport: str, options: dict[str, Any]) -> Imported:
        with ExitStack() as files:
            schedule = options["schedule"]
            return operations.import_file(
                files.enter_context(open_binary(file)),
                sport,
                actor=self.actor,
                format=options["format"],
                mapping=read_mapping(options["map"]) if options["map"] else None,
                schedule=files.enter_context(open_binary(schedule)) if schedule else None,
                skip_bad=options["skip_bad"],
                dry_run=options["dry_run"],
            )

    def print_bad_rows(self, imported: Imported) -> None:
        for problem in imported.bad:
            self.stderr.write(str(problem))
        others = imported.bad_count - len(imported.bad)
        if others > 0:
            self.stderr.write(f"and {others} more bad rows")


def open_binary(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise WrongInput(f"cannot read {path}: {error.strerror}", "check the path") from error


def read_mapping(path: str) -> dict[str, str]:
    try:
        mapping = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise WrongInput(f"cannot read {path}: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise WrongInput(f"cannot read {path}: it is not JSON ({error})", 'write it as {"PTS": "points"}') from error
    return valid_mapping(mapping)


def describe_import(imported: Imported) -> str:
    """Return what was stored, in one sentence, and the columns that were not used."""
    verb = "would store" if imported.dry_run else "stored"
    counts = f"{imported.created} new, {imported.updated} changed, {imported.unchanged} unchanged"
    skipped = f"; skipped {imported.bad_count} bad rows" if imported.bad_count else ""
    ignored = f"\nColumns not used: {first_columns(imported.ignored)}" if imported.ignored else ""
    return f"{verb} {imported.rows} game logs of {imported.sport} ({counts}){skipped}{ignored}"
