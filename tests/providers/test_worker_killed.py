"""A real Celery worker that is killed during a poll."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from aiohttp import web
from django.conf import settings as django_settings
from django.db.models.functions import Now
from pytest_django import Settings

from config.celery import app
from core.access.actors import SYSTEM
from providers import operations
from providers.fleet.backfill import Scope
from providers.models import FetchAttempt, PollSlot, PropLine, ProviderState
from providers.stub.server import served
from tests import databases
from tests.conftest import committed
from tests.providers.polls import feed

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def worker(stub_feed_url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker on this test's database and queues."""
    environment = os.environ | {
        "DATABASE_URL": databases.address(),
        "REDIS_URL": django_settings.REDIS_URL,
        "STUB_FEED_URL": stub_feed_url,
    }
    command = [sys.executable, "-m", "celery", "-A", "config.celery", "worker", "--pool", "threads", "-Q", "polls"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with process:
        yield process
        process.kill()


@committed
def test_the_slot_of_a_killed_worker_is_polled_again_after_its_lease(
    state: ProviderState, stub_feed: Callable[..., str], settings: Settings
) -> None:
    was_called = threading.Event()

    async def hang(request: web.Request) -> web.Response:
        was_called.set()
        await asyncio.sleep(60)
        return web.Response()

    ProviderState.objects.exclude(pk=state.pk).update(is_enabled=False)
    operations.disable([], actor=SYSTEM)  # makes the slots match
    with served(feed(hang)) as url, worker(url) as process:
        app.send_task("providers.poll_due", queue="polls")
        assert was_called.wait(30)
        process.send_signal(signal.SIGKILL)
        process.wait()

    stub_feed()
    assert operations.poll_round(Scope("stub", "NBA"), actor=SYSTEM) == []  # the lease still holds
    PollSlot.objects.update(lease_until=Now() - timedelta(seconds=1))
    for _ in range(2):
        [again] = operations.poll_round(Scope("stub", "NBA"), actor=SYSTEM)
        assert again.result(30).is_stored
    state.refresh_from_db()
    assert PropLine.objects.count() == state.unique_props_seen == state.last_prop_count > 0
    assert state.total_requests == FetchAttempt.objects.count()
    assert not FetchAttempt.objects.exclude(outcome="ok").exists()
