"""The command `manage.py stub_feed`: serve a synthetic upstream."""

import errno
import http.client
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog
from aiohttp import web
from django.conf import settings
from django.core.management.base import CommandParser

from core.commands import SlipwayCommand
from core.errors import SlipwayError
from providers.stub.faults import FAULT_PATH, KINDS, Fault
from providers.stub.server import SEED, make_app

log = structlog.get_logger("slipway.stub")


class Command(SlipwayCommand):
    help = (
        "Serve a synthetic odds feed on 127.0.0.1, for machines without credentials. If a stub feed already runs on "
        "the port and --fault is given, that feed misbehaves until this command ends. Example: manage.py stub_feed "
        "--fault timeout:0.2 (one request in five gets no answer)"
    )
    has_json = False

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        port = urlsplit(settings.STUB_FEED_URL).port or 8001
        parser.add_argument("--port", type=int, default=port, help="default: the port of STUB_FEED_URL, else 8001")
        parser.add_argument("--seed", type=int, default=SEED, help="each seed gives other games, prices and seasons")
        parser.add_argument(
            "--fault", metavar="KIND[:RATE]", help=f"one of {', '.join(KINDS)}; RATE is a share of requests, 0 to 1"
        )

    def handle(self, *args: Any, port: int, seed: int, fault: str | None, **options: Any) -> None:
        parsed = Fault.parse(fault) if fault else None
        try:
            web.run_app(
                make_app(seed, parsed),
                host="127.0.0.1",
                port=port,
                access_log=None,
                shutdown_timeout=1,
                print=self.announce,
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not fault:
                raise SlipwayError(
                    f"cannot listen on port {port}: {error.strerror}", "choose another port with --port"
                ) from error
            self.disturb(port, fault)

    def announce(self, banner: str) -> None:
        """Log the first line of the server's banner, which names the address."""
        log.info(f"stub feed: {banner.splitlines()[0].strip('= ')}")

    def disturb(self, port: int, fault: str) -> None:
        """Let the stub feed that runs on the port misbehave until this command ends.

        The feed keeps the fault as long as this connection is open, so it ends even if this process is killed.
        """
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", f"{FAULT_PATH}?{urlencode({'fault': fault})}")
            response = connection.getresponse()
            if response.status != 200:
                raise SlipwayError(
                    f"cannot use port {port}: it is taken, and not by a stub feed", "choose another port with --port"
                )
            self.stdout.write(f"the stub feed that runs on port {port} misbehaves ({fault}) until Ctrl-C")
            self.stdout.flush()
            while response.read(1):
                pass
            raise SlipwayError(f"the stub feed on port {port} has ended", "start it again: manage.py stub_feed")
        except (OSError, http.client.HTTPException) as error:
            raise SlipwayError(
                f"the stub feed on port {port} does not answer: {error}", "start it again: manage.py stub_feed"
            ) from error
        except KeyboardInterrupt:
            self.stdout.write("the stub feed behaves well again")
        finally:
            connection.close()
