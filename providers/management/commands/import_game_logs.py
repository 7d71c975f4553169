"""manage.py import_game_logs"""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.errors import WrongInput
from providers.gamelogs import operations
from providers.gamelogs.columns import some, valid_mapping
from providers.gamelogs.loader import BadFile, Imported


class Command(SlipwayCommand):
    help = "Import box scores. Example: manage.py import_game_logs stats.csv --sport NFL --schedule games.csv"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", nargs="?", metavar="FILE", help="a CSV file, one line per player and game")
        parser.add_argument("--from-stub", action="store_true", help="the stub feed's synthetic season instead")
        parser.add_argument("--sport", required=True, type=str.upper, help="as NBA")
        parser.add_argument("--format", choices=["nflverse", "plain"], default="", help="default: told by its columns")
        parser.add_argument("--schedule", metavar="F", help="nflverse's games.csv, which holds dates and games")
        parser.add_argument("--map", metavar="M.json", help='column to statistic or field, as {"PTS": "points"}')
        parser.add_argument("--skip-bad", action="store_true", help="leave bad rows out instead of storing nothing")
        parser.add_argument("--dry-run", action="store_true", help="read and check all of it, store nothing")

    def handle(self, *args: Any, file: str | None, from_stub: bool, sport: str, **options: Any) -> None:
        if bool(file) == from_stub:
            raise WrongInput("name either a file or --from-stub", "see --help")
        try:
            imported = self.from_stub(sport, options) if from_stub else self.from_file(str(file), sport, options)
        except BadFile as error:
            self.name_bad_rows(error.imported)
            if self.as_json:
                self.report(error.imported.document(), "")
            raise
        self.name_bad_rows(imported)
        self.report(imported.document(), sentence(imported))

    def from_stub(self, sport: str, options: dict[str, Any]) -> Imported:
        if not settings.STUB_FEED_URL:
            raise WrongInput("STUB_FEED_URL is not set", "set it, or name a file")
        return operations.import_stub(settings.STUB_FEED_URL, sport, actor=self.actor, dry_run=options["dry_run"])

    def from_file(self, file: str, sport: str, options: dict[str, Any]) -> Imported:
        with ExitStack() as opened:
            schedule = options["schedule"]
            return operations.import_file(
                opened.enter_context(opened_file(file)),
                sport,
                actor=self.actor,
                format=options["format"],
                mapping=read_mapping(options["map"]) if options["map"] else None,
                schedule=opened.enter_context(opened_file(schedule)) if schedule else None,
                skip_bad=options["skip_bad"],
                dry_run=options["dry_run"],
            )

    def name_bad_rows(self, imported: Imported) -> None:
        for bad in imported.bad:
            self.stderr.write(str(bad))
        if imported.bad_count > len(imported.bad):
            self.stderr.write(f"and {imported.bad_count - len(imported.bad)} more bad rows")


def opened_file(path: str) -> BinaryIO:
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
        raise WrongInput(f"{path} is no JSON: {error}", 'write it as {"PTS": "points"}') from error
    return valid_mapping(mapping)


def sentence(imported: Imported) -> str:
    did = "would store" if imported.dry_run else "stored"
    counts = f"{imported.created} new, {imported.updated} changed, {imported.unchanged} as they were"
    skipped = f"; {imported.bad_count} bad rows left out" if imported.bad_count else ""
    ignored = f"\nColumns not used: {some(imported.ignored)}" if imported.ignored else ""
    return f"{did} {imported.rows} game logs of {imported.sport} ({counts}){skipped}{ignored}"
