"""A single computation per key, for all threads and processes that ask for it."""

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

from caching.choices import ValueState
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
    """Let each target's fence count its leases from now on."""
    CacheTarget.objects.update(fence=0)


def asked_by(threads: int) -> list[Served]:
    def ask() -> Served:
        try:
            return serve.serve(KEY)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        answers = [pool.submit(ask) for _ in range(threads)]
        return [answer.result() for answer in answers]


def test_64_threads_on_a_missing_key_are_one_computation() -> None:
    answers = asked_by(64)
    assert len({answer.lookup.record.data for answer in answers}) == 1
    assert target().fence == 1
    assert any(answer.is_computed for answer in answers)


def test_two_processes_on_a_missing_key_are_one_computation() -> None:
    script = (
        "import django; django.setup()\n"
        "from caching.serving import serve\n"
        "from caching.tiers.entries import Key\n"
        "print('ready', flush=True)\n"
        "input()\n"
        "print(serve.serve(Key.parse('factor', 'nba', 'model')).lookup.record.digest.hex())"
    )
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": databases.address(),
        "REDIS_URL": settings.REDIS_URL,
    }
    pipe = subprocess.PIPE
    other = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True
    )
    assert other.stdout is not None
    assert other.stdin is not None
    while other.stdout.readline() != "ready\n":
        assert other.poll() is None
    other.stdin.write("\n")
    other.stdin.flush()
    digests = {serve.serve(KEY).lookup.record.digest.hex()}
    digests.add(other.communicate(timeout=60)[0].strip().splitlines()[-1])
    assert digests == {CacheEntry.objects.get().data_hash}
    assert target().fence == 1


def test_a_due_key_is_refreshed_by_one_and_the_others_get_the_current_value(
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
    assert [(answer.is_computed, answer.lookup.state, answer.lookup.is_due) for answer in during] == [
        (False, ValueState.FRESH, True)
    ] * 4
    assert not serve.serve(KEY).lookup.is_due


def test_a_stale_value_is_served_while_it_cannot_be_refreshed_and_tried_again_later(
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
            lookup = serve.serve(KEY).lookup
            assert (lookup.state, lookup.value["source"]) == (ValueState.STALE, "stub")
        assert target().fence == 2
        assert target().last_error == "unexpected ZeroDivisionError in the derivation"
    finally:
        serve.refresh_backoff.clear()


def test_a_caller_waits_for_the_computation_of_another_process(nba: None, monkeypatch: pytest.MonkeyPatch) -> None:
    CacheTarget.objects.filter(pk=target().pk).update(lease_until=Now() + timedelta(seconds=30), fence=7)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        """Let the other process end without a result at the second pause."""
        pauses.append(seconds)
        if len(pauses) == 2:
            CacheTarget.objects.filter(pk=target().pk).update(lease_until=None)

    monkeypatch.setattr(serve, "pause", pause)
    assert serve.serve(KEY).is_computed
    assert (len(pauses), target().fence) == (2, 8)
    CacheEntry.objects.all().delete()
    ENTRIES.announce({str(KEY): None}, ENTRIES.get(str(KEY)).record.stamp + 1)
    CacheTarget.objects.filter(pk=target().pk).update(lease_until=Now() + timedelta(seconds=30))
    monkeypatch.setattr(serve, "WAIT_SECONDS", 0.0)
    assert serve.serve(KEY).is_computed  # its wait is over: the value is computed, and stored nowhere
    assert not CacheEntry.objects.exists()


def test_with_warming_off_a_value_is_computed_and_not_stored(nba: None) -> None:
    Activation.objects.filter(part="warming").update(is_on=False)
    served = serve.serve(KEY)
    assert (served.is_computed, served.lookup.state) == (True, ValueState.FRESH)
    assert not CacheEntry.objects.exists()


def test_a_value_that_cannot_be_computed_raises_the_reason() -> None:
    GameLog.objects.all().delete()
    with pytest.raises(CannotCompute, match="no game of NBA"):
        serve.serve(KEY)
    with pytest.raises(CannotCompute, match="no game of NBA"):
        serve.compute_fresh(KEY)
    with pytest.raises(NoTarget, match="cannot serve player:nba:nobody: it has no enabled cache target"):
        serve.serve(Key.parse("player", "nba", "nobody"))
    close_old_connections()


def test_a_value_that_another_process_stored_in_between_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, other_processes = leases.lease_targets, list[str]()

    def late(*args: Any, **options: Any) -> dict[int, int]:
        if not other_processes:  # it computes and stores the value, between the look-up and the lease
            other_processes.append("one")
            monkeypatch.setattr(warm, "lease_targets", real)
            warm.warm([target()], actor=SYSTEM)
        return real(*args, **options)

    monkeypatch.setattr(warm, "lease_targets", late)
    assert serve.serve(KEY).lookup.state is ValueState.FRESH
    assert target().fence == 1
