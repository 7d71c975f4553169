"""What the tests share: a database per process, users of each group, a stub feed in a thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

import pytest
import redis
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import F
from django.test import Client
from pytest_django import DjangoDbBlocker, Settings

import config.celery  # noqa: F401 - so that tasks that a request sends find their broker
from caching.tiers import database_clock, hit_counter
from caching.tiers.entries import ENTRIES
from caching.tiers.tiered_store import hits
from caching.tiers.values import VALUES
from config.console.groups import make_groups
from core.access.actors import SYSTEM
from core.db.append_only import FLAG
from core.redis import client, key
from providers.fleet.backfill import CATALOGUE, backfill
from providers.models import ProviderState
from providers.polling import poller
from providers.stub.faults import Fault
from providers.stub.server import make_app, served
from rollout.gate import heartbeat, runtime
from rollout.gate.view import Views
from rollout.models import Rollout
from tests import databases
from tests.installation import installation, site, whole
from tests.processes import until

__all__ = ["installation", "site", "whole"]
hit_counter.FLUSH_SECONDS = 86400.0  # look-ups are written down when a test says so
committed = pytest.mark.django_db(transaction=True, serialized_rollback=True)  # for tests with threads or processes


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        before = connection.settings_dict["NAME"]
        name = databases.clone()
        connection.close()
        connection.settings_dict["NAME"] = name
        # Tables are emptied between tests, append-only ones too.
        connection.settings_dict["OPTIONS"]["options"] = f"-c {FLAG}=on -c synchronous_commit=off"
        # What migrations put in comes back after a test that committed.
        rows = databases.dump()
        connection._test_serialized_contents = "see below"  # type: ignore[attr-defined]
        connection.creation.deserialize_db_from_string = lambda data: databases.restore(rows)  # type: ignore[method-assign]
        yield
        connection.close()
        connection.settings_dict["NAME"] = before
        databases.drop(name)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No poller, no look-up counted, and no key in Redis or held in memory: a bucket that one test emptied would hold
    back the next one's calls.
    """
    runtime.own.reset(runtime.Process())  # without threads: a test says when it looks, and when it sends
    yield
    for thread in threading.enumerate():  # a notice that is still being sent would be the next test's
        if thread.name.startswith("slipway-notify-"):
            thread.join(10)
    poller.stop_poller()
    hits.forget_counts()
    database_clock.learn(time.time(), time.monotonic())
    ENTRIES.memory.clear()
    VALUES.memory.clear()
    for found in client().scan_iter(key("*"), count=1000):
        client().delete(found)


@pytest.fixture(autouse=True)
def plain_static_files(settings: Settings) -> None:
    """Pages without a collectstatic before."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}


@pytest.fixture
def fleet(db: None) -> None:
    """The catalogue's 28 states."""
    backfill(CATALOGUE.read_bytes(), actor=SYSTEM)


@pytest.fixture
def state(fleet: None) -> ProviderState:
    return ProviderState.objects.get(provider="stub", sport="NBA")


@pytest.fixture
def member(db: None) -> Callable[[str], User]:
    """A user of a group."""

    def make(group: str) -> User:
        make_groups()
        user = User.objects.create_user(group.lower(), is_staff=True)  # without a password, whose hash takes a while
        user.groups.add(Group.objects.get(name=group))
        return user

    return make


@pytest.fixture
def browse(member: Callable[[str], User]) -> Callable[[str], Client]:
    """A client signed in as a user of a group."""

    def log_in(group: str) -> Client:
        client = Client()
        client.force_login(member(group))
        return client

    return log_in


def look(views: Views) -> None:
    """As a gate's thread does, with a control loop that ticks. On a busy machine Redis may take longer than its
    time-out; a process looks again then, too.
    """

    def looked() -> bool:
        with suppress(redis.RedisError):
            heartbeat.beat()
        views.check()
        return views.get("derived-data") is not None

    assert until(looked)


@pytest.fixture
def at_stage() -> Callable[..., None]:
    """Has this process's gates see derived-data at a stage, as of a new epoch."""

    def be_at(stage: str, percent: int = 100) -> None:
        changed = {"stage": stage, "run_state": "running", "percent": percent, "epoch": F("epoch") + 1}
        Rollout.objects.filter(name="derived-data").update(**changed)
        Rollout.objects.update(stage_epoch=F("epoch"), settled_epoch=F("epoch"))
        look(runtime.own().views)

    return be_at


@pytest.fixture
def stub_feed(settings: Settings) -> Iterator[Callable[..., str]]:
    """Starts stub feeds, one at a time, and points STUB_FEED_URL at the newest: stub_feed("500") misbehaves."""
    running: list[AbstractContextManager[str]] = []

    def start(fault: str = "", seed: int = 7) -> str:
        while running:
            running.pop().__exit__(None, None, None)
        feed = served(make_app(seed, Fault.parse(fault) if fault else None))
        settings.STUB_FEED_URL = feed.__enter__()
        running.append(feed)
        return str(settings.STUB_FEED_URL)

    yield start
    poller.stop_poller()
    while running:
        running.pop().__exit__(None, None, None)
