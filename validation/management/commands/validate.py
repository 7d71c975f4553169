"""manage.py validate"""

import json
import sys
from typing import Any

from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.health_checks import Result, Suite
from validation.operations import Report, validate
from validation.reports import junit, table


class Command(SlipwayCommand):
    help = "Look whether everything is as it should be. Example: manage.py validate --suite exit --format junit"
    has_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--category", help="only this category of the suite, as database-schema")
        parser.add_argument("--suite", choices=Suite.values, default=Suite.EXIT.value)
        parser.add_argument("--full", action="store_true", help="look at everything, however long it takes")
        parser.add_argument("--format", choices=["table", "json", "junit"], default="table")
        parser.add_argument("--fail-on", choices=["fail", "warn"], default="fail", help="what makes the exit code 1")

    def handle(self, *args: Any, category: str | None, suite: str, **options: Any) -> None:
        report = validate(Suite(suite), category, is_full=options["full"], actor=self.actor)
        self.stdout.write(_printed(report, options["format"]))
        if report.stored_as is None:
            self.stderr.write("this run could not be stored; what it found is above")
        bad = (Result.FAIL, Result.WARN) if options["fail_on"] == "warn" else (Result.FAIL,)
        if report.overall in bad:
            raise SystemExit(1)


def _printed(report: Report, kind: str) -> str:
    if kind == "json":
        return json.dumps(report.document())
    if kind == "junit":
        return junit(f"slipway.{report.suite.value}", report.outcomes)
    return table(report.outcomes, is_colored=sys.stdout.isatty())
