"""The command `manage.py validate`."""

import json
import sys
from typing import Any

from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.health_checks import Result, Suite
from validation.operations import Report, validate
from validation.reports import format_junit, format_table


class Command(SlipwayCommand):
    help = "Check whether the system is as it should be. Example: manage.py validate --suite exit --format junit"
    has_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--category", help="run only this category of the suite, for example database-schema")
        parser.add_argument("--suite", choices=Suite.values, default=Suite.EXIT.value)
        parser.add_argument("--full", action="store_true", help="check everything instead of samples; it may take long")
        parser.add_argument("--format", choices=["table", "json", "junit"], default="table")
        parser.add_argument(
            "--fail-on",
            choices=["fail", "warn"],
            default="fail",
            help="the mildest overall result with exit code 1",
        )

    def handle(self, *args: Any, category: str | None, suite: str, **options: Any) -> None:
        report = validate(Suite(suite), category, is_full=options["full"], actor=self.actor)
        self.stdout.write(_format(report, options["format"]))
        if report.stored_as is None:
            self.stderr.write("this run could not be stored; its results are above; see the log for the reason")
        failing = (Result.FAIL, Result.WARN) if options["fail_on"] == "warn" else (Result.FAIL,)
        if report.overall in failing:
            raise SystemExit(1)


def _format(report: Report, format_name: str) -> str:
    if format_name == "json":
        return json.dumps(report.document())
    if format_name == "junit":
        return format_junit(f"slipway.{report.suite.value}", report.outcomes)
    return format_table(report.outcomes, is_colored=sys.stdout.isatty())
