"""manage.py stub_feed"""

import errno
import http.client
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from django.conf import settings
from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.errors import SlipwayError
from providers.stub.faults import CONTROL, KINDS, Fault
from providers.stub.server import SEED, make_app


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
        wanted = Fault.parse(fault) if fault else None
        try:
            web.run_app(
                make_app(seed, wanted),
                host="127.0.0.1",
                port=port,
                access_log=None,
                shutdown_timeout=1,
                print=lambda line: self.stdout.write(f"stub feed on http://127.0.0.1:{port}"),
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not fault:
                problem = f"cannot listen on port {port} ({error.strerror})"
                raise SlipwayError(problem, "take another --port") from error
            self.spoil(port, fault)

    def spoil(self, port: int, fault: str) -> None:
        """Have the stub feed that runs there misbehave for as long as this command runs."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", f"{CONTROL}?{urlencode({'fault': fault})}")
            response = connection.getresponse()
            if response.status != 200:
                raise SlipwayError(f"port {port} is taken, and not by a stub feed", "take another --port")
            self.stdout.write(f"the stub feed that runs on port {port} misbehaves ({fault}) until Ctrl-C")
            self.stdout.flush()
            while response.read(1):
                pass
            raise SlipwayError("the stub feed has gone", "start it again")
        except (OSError, http.client.HTTPException) as error:
            raise SlipwayError(f"the stub feed on port {port} does not answer: {error}", "start it again") from error
        except KeyboardInterrupt:
            self.stdout.write("it behaves again")
        finally:
            connection.close()
