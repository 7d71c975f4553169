"""Outages of Redis and of PostgreSQL in the middle of reads, and their ends."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import orjson
import pytest
import redis
from django.db import Error, connection
from django.db.models.functions import Now
from django.test import Client

import core.redis
from caching.choices import Tier, ValueState
from caching.models import CacheEntry, CacheTarget
from caching.serving import serve
from caching.tiers.entries import ENTRIES
from caching.tiers.subscription import FAILURES_AT_MOST
from caching.tiers.tiered_store import TieredStore
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from core.redis import client as redis_client
from core.redis import key, read_value
from tests import databases
from tests.caching.conftest import OwnRedis, is_subscribed, make_store, pass_time, receive_announcements
from tests.conftest import committed
from tests.processes import until
from tests.rollout.outages import lose_redis_data

pytestmark = committed
ABOUT = "factor:nba:model"
URL = "/api/v1/derived/factor/nba/model"
TOKEN = {"Authorization": "Bearer let-me-in"}
PRODUCTION_TIMEOUT_SECONDS = core.redis.TIMEOUT_SECONDS


def warm_factor() -> None:
    warm(CacheTarget.objects.filter(cache_type="CACHE_FACTOR", sport="NBA"), actor=SYSTEM, force=True)


@pytest.fixture
def store(nba: None, own_redis: OwnRedis) -> TieredStore:
    """A store whose subscription has received the announcement of its one entry."""
    warm_factor()
    store = make_store()
    receive_announcements(store)
    return store


@pytest.fixture(autouse=True)
def no_backoff() -> Iterator[None]:
    yield
    serve.refresh_backoff.clear()


@contextmanager
def unreachable_database() -> Iterator[None]:
    """Make the database unreachable within the block."""
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    try:
        yield
    finally:
        connection.settings_dict["HOST"] = host


def test_redis_killed_and_back_in_the_middle_of_reads(store: TieredStore, own_redis: OwnRedis) -> None:
    subscription = store.subscription
    assert store.get(ABOUT).state is ValueState.FRESH
    run_id = subscription.run_id
    own_redis.kill()
    states = [store.get(ABOUT).state for _ in range(20)]
    assert until(lambda: not subscription.is_up)
    store.on_missed()
    tiers = [store.get(ABOUT).tier for _ in range(20)]
    assert set(states) == {ValueState.FRESH}
    assert (tiers[0], set(tiers)) == (Tier.L3, {Tier.L3, Tier.L1})
    warm_factor()  # which no process hears of during the outage
    new = CacheEntry.objects.values_list("updated_at", flat=True).get()
    own_redis.start()
    assert until(lambda: subscription.is_up)
    assert until(is_subscribed)  # the writer has announced its change by then
    assert subscription.run_id != run_id
    # The values that Redis kept from before the outage are not read. A value that a process held without a subscription
    # is checked again after a second.
    pass_time(2)
    assert store.get(ABOUT).record.made_at == pytest.approx(new.timestamp(), abs=1e-5)
    store.memory.clear()
    assert store.get(ABOUT).tier is Tier.L2


def test_a_redis_that_hangs_costs_a_few_time_outs_and_no_more(store: TieredStore, own_redis: OwnRedis) -> None:
    redis_client().delete(*redis_client().scan_iter(key("derived:entries:*")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core.redis, "TIMEOUT_SECONDS", PRODUCTION_TIMEOUT_SECONDS)
        redis_client.cache_clear()
        os.kill(own_redis.server.pid, signal.SIGSTOP)
        try:
            was_up = []
            for _ in range(10):
                store.memory.clear()
                was_up.append(store.subscription.is_up)
                assert store.get(ABOUT).tier is Tier.L3
            assert was_up.count(True) <= FAILURES_AT_MOST
        finally:
            os.kill(own_redis.server.pid, signal.SIGCONT)
    redis_client.cache_clear()
    assert until(lambda: store.subscription.is_up)


def test_what_could_not_be_announced_is_announced_when_redis_is_back(store: TieredStore, own_redis: OwnRedis) -> None:
    writer = make_store()
    old = store.get(ABOUT).record
    own_redis.kill()
    assert until(lambda: not writer.subscription.is_up)
    CacheEntry.objects.update(updated_at=Now())  # which only the writer knows of
    writer.announce({ABOUT: None}, old.stamp + 1)
    assert writer.subscription.unsent == {"entries": {ABOUT}}
    own_redis.launch()
    listener = redis.Redis(unix_socket_path=str(own_redis.hidden_socket)).pubsub()  # type: ignore[no-untyped-call]
    listener.subscribe(key("derived"))
    assert listener.get_message(timeout=30)["type"] == "subscribe"
    own_redis.reveal()
    assert until(lambda: not writer.subscription.unsent)
    assert orjson.loads(listener.get_message(timeout=30)["data"])[1] == [ABOUT]
    listener.close()
    assert until(lambda: store.get(ABOUT).record.stamp > old.stamp)


def test_readers_ask_redis_again_only_after_the_unsent_announcements(
    store: TieredStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message of another process shows that Redis answers; this process's own changes go out first."""
    subscription, announce, was_up = store.subscription, store.drop_and_announce, list[bool]()

    def observe(keys: Sequence[str]) -> None:
        was_up.append(subscription.is_up)
        announce(keys)

    monkeypatch.setattr(store, "drop_and_announce", observe)
    for _ in range(FAILURES_AT_MOST):
        subscription.count_failure()
    subscription.keep_unsent("entries", [ABOUT])
    redis_client().publish(key("derived"), orjson.dumps(["another", [], ""]))
    assert until(lambda: bool(was_up))
    assert was_up == [False]
    assert until(lambda: subscription.is_up)


def test_a_due_value_is_served_while_it_cannot_be_refreshed(
    store: TieredStore, client: Client, at_stage: Callable[[str], None]
) -> None:
    at_stage("FULL_ACTIVE")
    CacheEntry.objects.update(soft_expires_at=Now(), expires_at=Now() + timedelta(minutes=5))
    ENTRIES.announce({ABOUT: None}, ENTRIES.get(ABOUT).record.stamp + 1)
    receive_announcements(ENTRIES)  # else its own announcement might still drop the value, when no tier can replace it
    assert ENTRIES.get(ABOUT).is_due
    assert ENTRIES.get(ABOUT).tier is Tier.L1
    with unreachable_database():
        answers = [client.get(URL, headers=TOKEN) for _ in range(3)]
    assert [(answer.status_code, answer.json()["served_from"]) for answer in answers] == [(200, "cache")] * 3


def test_postgresql_restarted(store: TieredStore, client: Client, at_stage: Callable[[str], None]) -> None:
    at_stage("FULL_ACTIVE")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = int(cursor.fetchone()[0])
    databases.end_session(backend)
    store.memory.clear()
    assert store.get("factor:nhl:model").state is ValueState.MISSING  # read by a new connection
    with unreachable_database():
        assert store.get(ABOUT).tier is Tier.L2
        assert store.get(ABOUT).tier is Tier.L1
        pass_time(120)
        lose_redis_data()
        assert store.get(ABOUT).tier is Tier.L1  # an unchecked value is better than no answer
        pass_time(700)
        with pytest.raises(Error):
            store.get(ABOUT)
        with pytest.raises(Error):
            store.get("factor:nhl:model")
        ENTRIES.memory.clear()
        answer = client.get("/api/v1/derived/factor/nhl/model", headers=TOKEN)
        assert (answer.status_code, answer["Retry-After"]) == (503, "30")
        assert answer.json()["error"] == "the database does not answer"
    assert client.get(URL, headers=TOKEN).json()["served_from"] == "cache"


def test_any_number_of_threads_may_read(own_redis: OwnRedis) -> None:
    def read() -> bytes | None:
        values: list[bytes | None] = []
        thread = threading.Thread(target=lambda: values.append(read_value(key("x"))))
        thread.start()
        thread.join()
        return values[0]

    redis_client().set(key("x"), b"there")
    assert {read() for _ in range(130)} == {b"there"}
    assert redis_client().ping()
