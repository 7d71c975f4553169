"""The command `manage.py drive`."""

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from caching.operations import find_targets
from caching.serving.load_driver import LoadDriver, LoadReport
from core.commands import SlipwayCommand
from core.errors import Refused, WrongInput


class Command(SlipwayCommand):
    help = "Send real requests to the consumer API at SITE_URL. Example: manage.py drive --rate 10 --seconds 300"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--rate", type=float, required=True, help="requests per second, at most 2000")
        parser.add_argument("--seconds", type=float, required=True, help="duration in seconds, at most a day (86400)")
        parser.add_argument("--keys", type=int, default=1000, help="number of different targeting keys (1000)")

    def handle(self, *args: Any, rate: float, seconds: float, keys: int, **options: Any) -> None:
        if not (0 < rate <= 2000 and 0 < seconds <= 86400 and keys >= 1):
            raise WrongInput(
                f"rate must be above 0 and at most 2000 per second (got {rate:g}), "
                f"seconds above 0 and at most 86400 (got {seconds:g}), keys at least 1 (got {keys})",
                "run: manage.py drive --rate 10 --seconds 300 --keys 1000",
            )
        if not settings.API_TOKEN:
            raise Refused(
                "cannot send requests: API_TOKEN is not set", "export one of the tokens whose digests API_TOKENS lists"
            )
        subjects = (target.about.split(":") for target in find_targets())
        addresses = [
            f"{settings.SITE_URL}/api/v1/derived/{kind}/{sport}/{subject}" for kind, sport, subject in subjects
        ]
        if not addresses:
            raise Refused(
                "cannot send requests: no target is enabled", "add one in the admin, under Caches, Cache targets"
            )
        driver = LoadDriver(addresses, settings.API_TOKEN, rate, seconds, keys)
        report = asyncio.run(driver.run(self.progress_bar(round(rate * seconds))))
        self.report(report.document(), describe_load(report))
        if report.failed:
            raise SystemExit(1)


def describe_load(load: LoadReport) -> str:
    """Return the report as two lines of text."""
    document = load.document()
    problems = "".join(f", {name} {count:,} times" for name, count in load.problems.most_common())
    served = ", ".join(f"{count:,} {name}" for name, count in load.served_from.most_common()) or "nothing"
    return (
        f"{document['requests']:,} requests, {document['failed']:,} failed{problems}\n"
        f"p50 {document['p50_ms']} ms, p95 {document['p95_ms']} ms; served from: {served}"
    )
