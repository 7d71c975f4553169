"""The fixtures of all tests: a database per process, users of each group, a stub feed in a thread."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Group, User
from django.contrib.postgres.functions import RandomUUID
from django.db import connection
from django.db.models import F
from django.test import Client
from pytest_django import DjangoDbBlocker, Settings

import config.celery  # noqa: F401 - tasks that a request sends need the broker of this application
from caching.tiers import database_clock, hit_counter
from caching.tiers.entries import ENTRIES
from caching.tiers.hit_counter import hits
from caching.tiers.values import VALUES
from config.console.groups import make_groups
from config.middleware import request_counter
from core.access.actors import SYSTEM
from core.db.append_only import FLAG
from core.notices.notify import Event, deliver_only_with
from core.redis import client, key
from providers.fleet.backfill import CATALOGUE, backfill
from providers.models import ProviderState
from providers.polling import poller
from providers.stub.faults import Fault
from providers.stub.server import make_app, served
from rollout.gate import heartbeat, runtime
from rollout.gate.state import RolloutStates
from rollout.models import Rollout
from tests import databases
from tests.installation import installation, site, whole
from tests.processes import until

__all__ = ["installation", "site", "whole"]
hit_counter.FLUSH_SECONDS = request_counter.FLUSH_SECONDS = 86400.0  # counts are stored only when a test asks for it
committed = pytest.mark.django_db(transaction=True, serialized_rollback=True)  # with threads or processes


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        name_before = connection.settings_dict["NAME"]
        name = databases.clone()
        connection.close()
        connection.settings_dict["NAME"] = name
        # Django empties all tables after a test that committed, append-only ones too.
        connection.settings_dict["OPTIONS"]["options"] = f"-c {FLAG}=on -c synchronous_commit=off"
        # The rows of the migrations are restored before a test that commits. Django does so if it finds this attribute,
        # with a function that is ten times as slow as ours.
        rows = databases.dump()
        connection._test_serialized_contents = "unused"  # type: ignore[attr-defined]
        connection.creation.deserialize_db_from_string = lambda data: databases.restore(rows)  # type: ignore[method-assign]
        yield
        connection.close()
        connection.settings_dict["NAME"] = name_before
        databases.drop(name)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Leave no poller, no counted look-up or request, and no key in Redis or in memory for the next test.

    A token bucket that one test emptied, for example, would delay the calls of the next one.
    """
    runtime.shared.reset(runtime.GateRuntime())  # without threads: a test reads and sends when it wants to
    yield
    for thread in threading.enumerate():  # a notice that is still being sent would arrive in the next test
        if thread.name.startswith("slipway-notify-"):
            thread.join(10)
    poller.stop_poller()
    hits().forget_counts()
    request_counter.requests().forget_counts()
    database_clock.learn(time.time(), time.monotonic())
    ENTRIES.memory.clear()
    VALUES.memory.clear()
    for name in client().scan_iter(key("*"), count=1000):
        client().delete(name)


@pytest.fixture(autouse=True)
def plain_static_files(settings: Settings) -> None:
    """Serve pages without a run of collectstatic."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}


@pytest.fixture
def notices() -> Iterator[list[Event]]:
    """The events that were notified during the test. No other channel delivers them."""
    events: list[Event] = []
    with deliver_only_with(events.append):
        yield events


@pytest.fixture
def notice_kinds() -> Iterator[list[str]]:
    """The kinds of the events that were notified during the test. No other channel delivers them."""
    kinds: list[str] = []
    with deliver_only_with(lambda event: kinds.append(event.kind)):
        yield kinds


@pytest.fixture
def request_entries(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """A function that returns the log entries of all requests up to now."""
    caplog.set_level(logging.INFO)

    def read() -> list[dict[str, Any]]:
        entries = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
        return [entry for entry in entries if entry["event"] in ("request_finished", "request_failed")]

    return read


@pytest.fixture
def fleet(db: None) -> None:
    """The catalogue's 28 provider states."""
    backfill(CATALOGUE.read_bytes(), actor=SYSTEM)


@pytest.fixture
def state(fleet: None) -> ProviderState:
    return ProviderState.objects.get(provider="stub", sport="NBA")


@pytest.fixture
def member(db: None) -> Callable[[str], User]:
    """A function that creates a user of a group."""

    def make(group: str) -> User:
        make_groups()
        user = User.objects.create_user(group.lower(), is_staff=True)  # no password: its hash is slow
        user.groups.add(Group.objects.get(name=group))
        return user

    return make


@pytest.fixture
def browse(member: Callable[[str], User]) -> Callable[[str], Client]:
    """A function that returns a client signed in as a new user of a group."""

    def log_in(group: str) -> Client:
        client = Client()
        client.force_login(member(group))
        return client

    return log_in


def look(states: RolloutStates) -> None:
    """Read the rollouts as a gate's thread does, while the control loop ticks.

    On a busy machine Redis may take longer than its time limit; a gate's thread reads again then, too.
    """

    def is_read() -> bool:
        with suppress(redis.RedisError):
            heartbeat.beat()
        states.refresh()
        return states.find("derived-data") is not None

    assert until(is_read)


@pytest.fixture
def at_stage() -> Callable[..., None]:
    """A function that moves derived-data to a stage, in a new epoch, and lets this process's gates read it."""

    def move_to(stage: str, percent: int = 100) -> None:
        changed = {"stage": stage, "run_state": "running", "percent": percent, "epoch": F("epoch") + 1}
        Rollout.objects.filter(name="derived-data").update(**changed)
        Rollout.objects.update(stage_epoch=F("epoch"), visit=RandomUUID(), attempt=RandomUUID())
        look(runtime.shared().states)

    return move_to


@pytest.fixture
def stub_feed(settings: Settings) -> Iterator[Callable[..., str]]:
    """A function that starts a stub feed, sets STUB_FEED_URL to it, and ends the one before.

    stub_feed("500") starts a feed with a fault.
    """
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
