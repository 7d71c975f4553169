"""manage.py stub_feed"""

from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from django.conf import settings
from django.core.management.base import CommandParser

from providers.stub_faults import KINDS, Fault
from providers.stub_server import SEED, make_app
from rollout.commands import SlipwayCommand
from rollout.errors import SlipwayError


class Command(SlipwayCommand):
    help = "Serve a made-up odds feed on 127.0.0.1. Example: manage.py stub_feed --fault timeout:0.2"
    has_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        port = urlsplit(settings.STUB_FEED_URL).port or 8001
        parser.add_argument("--port", type=int, default=port, help="default: that of STUB_FEED_URL, else 8001")
        parser.add_argument("--seed", type=int, default=SEED, help="another seed is another world")
        parser.add_argument("--fault", metavar="KIND[:RATE]", help=f"one of {', '.join(KINDS)}")

    def handle(self, *args: Any, port: int, seed: int, fault: str | None, **options: Any) -> None:
        try:
            web.run_app(
                make_app(seed, Fault.parse(fault) if fault else None),
                host="127.0.0.1",
                port=port,
                access_log=None,
                shutdown_timeout=1,
                print=lambda line: self.stdout.write(f"stub feed on http://127.0.0.1:{port}"),
            )
        except OSError as error:
            raise SlipwayError(f"cannot listen on port {port} ({error.strerror})", "take another --port") from error
