"""A whole installation in a database of its own, and copies of it that tests may break."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.db import connection, connections
from pytest_django import DjangoDbBlocker, Settings

from caching.models import CacheTarget
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from providers.fleet.backfill import CATALOGUE, backfill
from providers.stub.season import SEASONS
from rollout.gate import heartbeat
from tests import databases
from tests.caching.conftest import bring_season

WHOLE = f"slipway_whole_{os.getpid()}"


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Use that database as the default one, in all threads."""
    name_before = connection.settings_dict["NAME"]
    connection.close()
    connections.settings["default"]["NAME"] = connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connections.settings["default"]["NAME"] = connection.settings_dict["NAME"] = name_before


@pytest.fixture(scope="session")
def whole(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The name of a database as a fresh `make run` leaves it: 28 states, 25 entries."""
    with django_db_blocker.unblock():
        databases.copy(databases.TEMPLATE + databases.fingerprint(), WHOLE)
        with inside(WHOLE):
            backfill(CATALOGUE.read_bytes(), actor=SYSTEM)
            for sport in SEASONS:
                bring_season(sport)
            warm(CacheTarget.objects.filter(is_enabled=True), actor=SYSTEM)
        yield WHOLE
        databases.drop(WHOLE)


@pytest.fixture
def installation(whole: str, django_db_blocker: DjangoDbBlocker, site: None) -> Iterator[None]:
    """A copy of the whole installation as the default database of one test."""
    copy = f"slipway_broken_{os.getpid()}"
    with django_db_blocker.unblock():
        databases.copy(whole, copy)
        heartbeat.beat()
        try:
            with inside(copy):
                yield
        finally:
            databases.drop(copy)


class Site(BaseHTTPRequestHandler):
    """A site whose answer a test can change."""

    status, body = 200, b'{"ready": true}'

    def do_GET(self) -> None:
        self.send_response(Site.status)
        self.end_headers()
        self.wfile.write(Site.body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served_by(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve in a thread. Yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(settings: Settings) -> Iterator[None]:
    """Serve a site at SITE_URL that answers each request."""
    Site.status, Site.body = 200, b'{"ready": true}'
    with served_by(Site) as address:
        settings.SITE_URL = address
        yield
