"""Redis and PostgreSQL gone in the middle of reads, and back."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import orjson
import pytest
from django.db import Error, connection
from django.db.models.functions import Now
from django.test import Client

from caching.choices import State, Tier
from caching.models import CacheEntry, CacheTarget
from caching.serving import serve
from caching.tiers.entries import ENTRIES
from caching.tiers.invalidation import FAILURES
from caching.tiers.tiered_store import Store
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from core.redis import client as redis_client
from core.redis import get, key
from tests import databases
from tests.caching.conftest import OwnRedis, make_store, pass_time
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
    tiers = [store.get(ABOUT).tier for _ in range(20)]
    assert set(states) == {State.FRESH}
    assert (tiers[0], set(tiers)) == (Tier.L3, {Tier.L3, Tier.L1})
    warmed()  # which nobody can be told now
    new = CacheEntry.objects.values_list("updated_at", flat=True).get()
    own_redis.start()
    assert until(lambda: link.is_up)
    assert link.run != run
    # What Redis kept from before the outage is not read; what a deaf process held is gone after a second.
    pass_time(2)
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


def test_what_could_not_be_told_is_told_when_redis_is_back(store: Store, own_redis: OwnRedis) -> None:
    writer = make_store()
    old = store.get(ABOUT).record
    own_redis.kill()
    assert until(lambda: not writer._link.is_up)
    CacheEntry.objects.update(updated_at=Now())  # which only the writer knows of
    writer.announce({ABOUT: None}, old.stamp + 1)
    assert writer._link._unsent == {"entries": {ABOUT}}
    heard: list[str] = []
    own_redis.start()
    listener = redis_client().pubsub()  # type: ignore[no-untyped-call]
    listener.subscribe(key("derived"))
    assert until(lambda: not writer._link._unsent)
    while message := listener.get_message(timeout=1):
        if message["type"] == "message":
            heard += orjson.loads(message["data"])[1]
            break
    listener.close()
    assert heard == [ABOUT]
    assert until(lambda: store.get(ABOUT).record.stamp > old.stamp)


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    yield
    serve._flights.held.clear()


def test_a_due_value_is_served_while_it_cannot_be_refreshed(
    store: Store, client: Client, at_stage: Callable[[str], None]
) -> None:
    at_stage("FULL_ACTIVE")
    CacheEntry.objects.update(soft_expires_at=Now(), expires_at=Now() + timedelta(minutes=5))
    ENTRIES.announce({ABOUT: None}, ENTRIES.get(ABOUT).record.stamp + 1)
    assert until(lambda: ENTRIES.get(ABOUT).is_due and ENTRIES.get(ABOUT).tier is Tier.L1)
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    try:
        answers = [client.get(URL, headers=TOKEN) for _ in range(3)]
    finally:
        connection.settings_dict["HOST"] = host
    assert [(answer.status_code, answer.json()["served_from"]) for answer in answers] == [(200, "cache")] * 3


def test_postgresql_restarted(store: Store, client: Client, at_stage: Callable[[str], None]) -> None:
    at_stage("FULL_ACTIVE")
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
        pass_time(120)
        redis_client().flushall()
        assert store.get(ABOUT).tier is Tier.L1  # unchecked is better than no answer
        pass_time(700)
        with pytest.raises(Error):
            store.get(ABOUT)
        with pytest.raises(Error):
            store.get("factor:nhl:model")
        ENTRIES.memory.clear()
        answer = client.get("/api/v1/derived/factor/nhl/model", headers=TOKEN)
        assert (answer.status_code, answer["Retry-After"]) == (503, "30")
        assert answer.json()["error"] == "the database does not answer"
    finally:
        connection.settings_dict["HOST"] = host
    assert client.get(URL, headers=TOKEN).json()["served_from"] == "cache"


def test_any_number_of_threads_may_read(own_redis: OwnRedis) -> None:
    def read(number: int) -> bytes | None:
        found: list[bytes | None] = []
        thread = threading.Thread(target=lambda: found.append(get(key("x"))))
        thread.start()
        thread.join()
        return found[0]

    redis_client().set(key("x"), b"there")
    assert {read(number) for number in range(130)} == {b"there"}
    assert redis_client().ping()
