"""manage.py drive"""

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from caching.operations import targets
from caching.serving.load_driver import Drive, Driven
from core.commands import SlipwayCommand
from core.errors import Refused, WrongInput


class Command(SlipwayCommand):
    help = "Send real requests to the consumer API at SITE_URL. Example: manage.py drive --rate 10 --seconds 300"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--rate", type=float, required=True, help="requests a second, up to 2000")
        parser.add_argument("--seconds", type=float, required=True, help="for how long, up to a day")
        parser.add_argument("--keys", type=int, default=1000, help="different targeting keys (1000)")

    def handle(self, *args: Any, rate: float, seconds: float, keys: int, **options: Any) -> None:
        if not (0 < rate <= 2000 and 0 < seconds <= 86400 and keys >= 1):
            raise WrongInput("rate, seconds or keys is out of range", "take --rate 10 --seconds 300 --keys 1000")
        if not settings.API_TOKEN:
            raise Refused("API_TOKEN is not set", "export one of the tokens whose digests stand in API_TOKENS")
        addresses = [
            f"{settings.SITE_URL}/api/v1/derived/{kind}/{sport.lower()}/{subject}"
            for kind, sport, subject in (target.about.split(":") for target in targets(None, None))
        ]
        if not addresses:
            raise Refused("no target is enabled", "add one in the admin, under Caches, Targets")
        drive = Drive(addresses, settings.API_TOKEN, rate, seconds, keys)
        driven = asyncio.run(drive.run(self.bar(round(rate * seconds))))
        self.report(driven.document(), told(driven))
        if driven.failed:
            raise SystemExit(1)


def told(driven: Driven) -> str:
    document = driven.document()
    problems = "".join(f", {name} {count:,} times" for name, count in driven.problems.most_common())
    served = ", ".join(f"{count:,} {name}" for name, count in driven.served_from.most_common()) or "nothing"
    return (
        f"{document['requests']:,} requests, {document['failed']:,} failed{problems}\n"
        f"p50 {document['p50_ms']} ms, p95 {document['p95_ms']} ms; served from: {served}"
    )
