"""Redis and PostgreSQL gone in the middle of reads, and back."""

import os
import signal

import pytest
import time_machine
from django.db import Error, connection
from django.test import Client

from caching.choices import State, Tier
from caching.entries import ENTRIES
from caching.link import FAILURES
from caching.models import CacheEntry, CacheTarget
from caching.store import Store
from caching.warming import warm
from rollout.actors import SYSTEM
from rollout.redis import client as redis_client
from rollout.redis import key
from tests import databases
from tests.caching.conftest import OwnRedis, make_store
from tests.conftest import committed
from tests.processes import until

pytestmark = committed
ABOUT = "factor:nba:model"
URL = "/api/v1/derived/factor/nba/model"
TOKEN = {"Authorization": "Bearer let-me-in"}


def warmed() -> None:
    warm(CacheTarget.objects.filter(cache_type="CACHE_FACTOR", sport="NBA"), actor=SYSTEM, force=True)


@pytest.fixture
def store(nba: None, own_redis: OwnRedis) -> Store:
    warmed()
    return make_store()


def test_redis_killed_and_back_in_the_middle_of_reads(store: Store, own_redis: OwnRedis) -> None:
    link = store._link
    assert store.get(ABOUT).state is State.FRESH
    run = link.run
    own_redis.kill()
    states = [store.get(ABOUT).state for _ in range(20)]
    assert until(lambda: not link.is_up)
    store.lost()
    tiers = [store.get(ABOUT).tier for _ in range(3)]
    assert set(states) == {State.FRESH}
    assert tiers == [Tier.L3, Tier.L1, Tier.L1]
    warmed()  # which nobody can be told now
    new = CacheEntry.objects.values_list("updated_at", flat=True).get()
    own_redis.start()
    assert until(lambda: link.is_up)
    assert link.run != run
    # What Redis kept from before the outage is not read; what a deaf process held is gone after a second.
    with time_machine.travel(new.timestamp() + 2, tick=True):
        assert store.get(ABOUT).record.made_at == pytest.approx(new.timestamp(), abs=1e-5)
    store.memory.clear()
    assert store.get(ABOUT).tier is Tier.L2


def test_a_redis_that_hangs_costs_a_few_time_outs_and_no_more(store: Store, own_redis: OwnRedis) -> None:
    redis_client().delete(*redis_client().scan_iter(key("derived:entries:*")))
    os.kill(own_redis.server.pid, signal.SIGSTOP)
    try:
        asked = 0
        for _ in range(10):
            store.memory.clear()
            asked += store._link.is_up
            assert store.get(ABOUT).tier is Tier.L3
        assert asked <= FAILURES
    finally:
        os.kill(own_redis.server.pid, signal.SIGCONT)
    assert until(lambda: store._link.is_up)


def test_what_could_not_be_told_is_told_when_redis_is_back(
    store: Store, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = make_store()
    old = store.get(ABOUT).record
    writer._link._failures = FAILURES  # the writer alone cannot reach it
    writer.announce({ABOUT: None}, old.stamp + 1)
    assert writer._link._unsent == {"entries": {ABOUT}}
    warmed()
    assert until(lambda: not writer._link._unsent)
    assert until(lambda: store.get(ABOUT).record != old)


def test_postgresql_restarted(store: Store, client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = str(cursor.fetchone()[0])
    databases.execute(f"SELECT pg_terminate_backend({backend})")
    store.memory.clear()
    assert store.get("factor:nhl:model").state is State.MISSING  # read by a new connection
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    try:
        assert store.get(ABOUT).tier is Tier.L2
        assert store.get(ABOUT).tier is Tier.L1
        with time_machine.travel(store.get(ABOUT).record.made_at + 120, tick=True):
            redis_client().flushall()
            assert store.get(ABOUT).tier is Tier.L1  # unchecked is better than no answer
        with pytest.raises(Error):
            store.get("factor:nhl:model")
        ENTRIES.memory.clear()
        answer = client.get("/api/v1/derived/factor/nhl/model", headers=TOKEN)
        assert (answer.status_code, answer["Retry-After"]) == (503, "30")
        assert answer.json()["error"] == "the database does not answer"
    finally:
        connection.settings_dict["HOST"] = host
    assert client.get(URL, headers=TOKEN).json()["served_from"] == "cache"
