"""One computation per key, whoever asks for it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import close_old_connections, connection
from django.db.models.functions import Now

from caching.choices import State
from caching.derivations.result import Computed
from caching.models import CacheEntry, CacheTarget
from caching.serving import serve
from caching.serving.serve import CannotCompute, NoTarget, Served
from caching.tiers.entries import ENTRIES, Key
from caching.warming import compute, leases, warm
from core.access.actors import SYSTEM
from providers.models import GameLog
from rollout.models import Activation
from tests import databases
from tests.conftest import committed
from tests.databases import ROOT

pytestmark = committed
KEY = Key.parse("factor", "nba", "model")


def target() -> CacheTarget:
    return CacheTarget.objects.get(cache_type=KEY.cache_type, sport=KEY.sport)


@pytest.fixture(autouse=True)
def no_leases_yet(nba: None) -> None:
    CacheTarget.objects.update(fence=0)  # from then on one more with each lease


def asked_by(threads: int) -> list[Served]:
    def ask(number: int) -> Served:
        try:
            return serve.serve(KEY)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, range(threads)))


def test_64_threads_on_a_missing_key_are_one_computation() -> None:
    answers = asked_by(64)
    assert len({answer.found.record.data for answer in answers}) == 1
    assert target().fence == 1
    assert any(answer.is_computed for answer in answers)


def test_two_processes_on_a_missing_key_are_one_computation(nba: None) -> None:
    script = (
        "import django; django.setup()\n"
        "from caching.serving import serve\n"
        "from caching.tiers.entries import Key\n"
        "print('ready', flush=True)\n"
        "input()\n"
        "print(serve.serve(Key.parse('factor', 'nba', 'model')).found.record.digest.hex())"
    )
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": databases.address(),
        "REDIS_URL": settings.REDIS_URL,
    }
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        while process.stdout.readline() != "ready\n":
            assert process.poll() is None
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    digests = {process.communicate(timeout=60)[0].strip().splitlines()[-1] for process in processes}
    assert digests == {CacheEntry.objects.get().data_hash}
    assert target().fence == 1


def test_a_due_key_is_refreshed_by_one_and_the_others_get_what_there_is(
    nba: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve.serve(KEY)
    CacheEntry.objects.update(soft_expires_at=Now() - timedelta(seconds=1), expires_at=Now() + timedelta(minutes=1))
    ENTRIES.announce({str(KEY): None}, ENTRIES.get(str(KEY)).record.stamp + 1)
    during: list[Served] = []
    real = compute.compute

    def slow(*args: Any) -> Computed:
        during.extend(asked_by(4))  # while this caller computes
        return real(*args)

    monkeypatch.setattr(warm, "compute", slow)
    first = serve.serve(KEY)
    assert (first.is_computed, target().fence) == (True, 2)
    assert [(answer.is_computed, answer.found.state, answer.found.is_due) for answer in during] == [
        (False, State.FRESH, True)
    ] * 4
    assert not serve.serve(KEY).found.is_due


def test_stale_is_served_where_it_cannot_be_refreshed_and_tried_again_later(
    nba: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve.serve(KEY)
    CacheEntry.objects.update(soft_expires_at=Now() - timedelta(hours=1), expires_at=Now() - timedelta(minutes=1))
    ENTRIES.announce({str(KEY): None}, ENTRIES.get(str(KEY)).record.stamp + 1)

    def broken(*args: object) -> Computed:
        raise ZeroDivisionError

    monkeypatch.setattr(warm, "compute", broken)
    try:
        for _ in range(3):
            found = serve.serve(KEY).found
            assert (found.state, found.value["source"]) == (State.STALE, "stub")
        assert target().fence == 2
        assert target().last_error == "unexpected ZeroDivisionError in the warmer"
    finally:
        serve._flights.held.clear()


def test_what_another_process_computes_is_waited_for(nba: None, monkeypatch: pytest.MonkeyPatch) -> None:
    CacheTarget.objects.filter(pk=target().pk).update(lease_until=Now() + timedelta(seconds=30), fence=7)
    looks: list[float] = []

    def look(seconds: float) -> None:
        """The other one ends with nothing at the second look."""
        looks.append(seconds)
        if len(looks) == 2:
            CacheTarget.objects.filter(pk=target().pk).update(lease_until=None)

    monkeypatch.setattr(serve, "pause", look)
    assert serve.serve(KEY).is_computed
    assert (len(looks), target().fence) == (2, 8)
    CacheEntry.objects.all().delete()
    ENTRIES.announce({str(KEY): None}, ENTRIES.get(str(KEY)).record.stamp + 1)
    CacheTarget.objects.filter(pk=target().pk).update(lease_until=Now() + timedelta(seconds=30))
    monkeypatch.setattr(serve, "WAIT_SECONDS", 0.0)
    assert serve.serve(KEY).is_computed  # it waited long enough: computed, and kept nowhere
    assert not CacheEntry.objects.exists()


def test_with_warming_off_it_is_computed_and_nothing_written(nba: None) -> None:
    Activation.objects.filter(part="warming").update(is_on=False)
    served = serve.serve(KEY)
    assert (served.is_computed, served.found.state) == (True, State.FRESH)
    assert not CacheEntry.objects.exists()


def test_what_cannot_be_computed_says_why() -> None:
    GameLog.objects.all().delete()
    with pytest.raises(CannotCompute, match="no game of NBA"):
        serve.serve(KEY)
    with pytest.raises(CannotCompute, match="no game of NBA"):
        serve.compute_fresh(KEY)
    with pytest.raises(NoTarget, match="nothing keeps player:nba:nobody warm"):
        serve.serve(Key.parse("player", "nba", "nobody"))
    close_old_connections()


def test_what_another_stored_since_one_looked_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, others = leases.lease, list[str]()

    def late(*args: Any, **more: Any) -> dict[int, int]:
        if not others:  # another process computes and stores it, between the look and the lease
            others.append("one")
            monkeypatch.setattr(warm, "lease", real)
            warm.warm([target()], actor=SYSTEM)
        return real(*args, **more)

    monkeypatch.setattr(warm, "lease", late)
    assert serve.serve(KEY).found.state is State.FRESH
    assert target().fence == 1
