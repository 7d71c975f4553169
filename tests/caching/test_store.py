"""The three tiers: which one answers, and that none answers with a value that was replaced."""

import json
import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from caching import operations
from caching.choices import Tier, ValueState
from caching.models import CacheEntry, CacheLookup, CachePolicy, CacheTarget
from caching.tiers.entries import ENTRIES
from caching.tiers.hit_counter import hits
from caching.tiers.records import pack
from caching.tiers.tiered_store import TieredStore
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from core.redis import client, key
from tests.caching.conftest import make_store, receive_announcements
from tests.conftest import committed
from tests.processes import until

pytestmark = committed
ABOUT = "factor:nba:model"


def target() -> CacheTarget:
    return CacheTarget.objects.get(cache_type="CACHE_FACTOR", sport="NBA")


def warm_target() -> None:
    [result] = warm([target()], actor=SYSTEM, force=True)
    assert result.record is not None


def in_redis() -> dict[bytes, bytes]:
    return {name: client().get(name) for name in client().scan_iter(key("derived:entries:*"))}  # type: ignore[misc]


def empty_redis() -> None:
    for name in in_redis():
        client().delete(name)


@pytest.fixture
def store(nba: None) -> TieredStore:
    """A store whose subscription has received the announcement of its one entry."""
    warm_target()
    store = make_store()
    receive_announcements(store)
    return store


def test_each_tier_answers_for_those_behind_it(store: TieredStore) -> None:
    empty_redis()
    tiers = [store.get(ABOUT).tier, store.get(ABOUT).tier]
    store.memory.clear()
    tiers.append(store.get(ABOUT).tier)
    store.memory.clear()
    empty_redis()
    tiers.append(store.get(ABOUT).tier)
    assert tiers == [Tier.L3, Tier.L1, Tier.L2, Tier.L3]
    lookup = store.get(ABOUT)
    assert (lookup.state, lookup.tier) == (ValueState.FRESH, Tier.L1)
    assert lookup.value == json.loads(CacheEntry.objects.get().data_json)
    assert 0 <= lookup.age_seconds < 60


def test_a_value_that_a_writer_replaces_is_dropped_in_every_process(store: TieredStore) -> None:
    other = make_store()
    before = store.get(ABOUT), other.get(ABOUT)
    assert before[0].record == before[1].record
    warm_target()
    assert until(lambda: store.get(ABOUT).record != before[0].record)
    assert until(lambda: other.get(ABOUT).record == store.get(ABOUT).record)


@pytest.mark.parametrize(
    "change",
    [
        lambda: operations.expire_now(CacheEntry.objects.values_list("pk", flat=True), actor=SYSTEM),
        lambda: operations.outdate("NBA"),
    ],
)
def test_changed_times_reach_every_process(change: Callable[[], int], store: TieredStore) -> None:
    assert not store.get(ABOUT).is_due
    assert change() == 1
    assert until(lambda: store.get(ABOUT).is_due)
    assert ENTRIES.get(ABOUT).is_due


def test_another_version_is_served_once_the_target_names_it(store: TieredStore) -> None:
    assert store.get(ABOUT).state is ValueState.FRESH
    row = target()
    row.model_version = "v9"
    operations.save_configuration(row, actor=SYSTEM)
    assert until(lambda: store.get(ABOUT).state is ValueState.MISSING)
    row.model_version = "v2.1"
    operations.save_configuration(row, actor=SYSTEM)
    assert until(lambda: store.get(ABOUT).state is ValueState.FRESH)
    row.is_enabled = False
    operations.save_configuration(row, actor=SYSTEM)
    assert until(lambda: store.get(ABOUT).state is ValueState.MISSING)


def test_a_stale_value_is_marked_as_stale_and_ends_with_its_grace(store: TieredStore) -> None:
    CachePolicy.objects.update(grace_hours=1)
    CacheEntry.objects.update(soft_expires_at=Now() - timedelta(minutes=9), expires_at=Now() - timedelta(minutes=8))
    empty_redis()
    assert store.get(ABOUT).state is ValueState.STALE
    CacheEntry.objects.update(soft_expires_at=Now() - timedelta(minutes=70), expires_at=Now() - timedelta(minutes=61))
    for reader in (store, make_store()):  # from L1, and from L3
        reader.memory.clear()
        empty_redis()
        lookup = reader.get(ABOUT)
        assert (lookup.state, lookup.tier) == (ValueState.MISSING, Tier.MISS)
        with pytest.raises(ValueError, match="found none"):
            lookup.value  # noqa: B018


def test_a_slow_reader_does_not_put_back_a_value_that_was_replaced(store: TieredStore) -> None:
    old = store.get(ABOUT).record
    generation = store.memory.generation(ABOUT)
    warm_target()
    new = ENTRIES.get(ABOUT).record
    assert new.stamp > old.stamp
    assert until(lambda: store.memory.get(ABOUT) is None)
    store.memory.put(ABOUT, old, float("inf"), generation)
    assert store.memory.get(ABOUT) is None
    store.redis.put(ABOUT, old, 0.0)
    assert store.redis.get(ABOUT) == new


def test_a_slow_reader_does_not_put_back_a_value_that_was_deleted(store: TieredStore) -> None:
    old = store.get(ABOUT).record
    operations.delete_targets([target().pk], actor=SYSTEM)
    store.redis.put(ABOUT, old, 0.0)
    assert store.redis.get(ABOUT) is None


@pytest.mark.parametrize(("kept_bytes", "rest"), [(-1, b"!"), (0, b"rubbish"), (40, b""), (0, b"9" * 99)])
def test_a_damaged_value_is_dropped_counted_and_read_from_the_table(
    kept_bytes: int, rest: bytes, store: TieredStore
) -> None:
    [(name, frame)] = in_redis().items()
    client().set(name, frame[:kept_bytes] + rest)
    lookup = store.get(ABOUT)
    assert (lookup.state, lookup.tier) == (ValueState.FRESH, Tier.L3)
    assert in_redis() == {name: pack(lookup.record)}
    hits().flush()
    assert CacheLookup.objects.get(kind="factor", tier="corrupt").lookups == 1


def test_no_other_reader_sees_what_is_not_committed(store: TieredStore) -> None:
    before = store.get(ABOUT).record
    with transaction.atomic():
        warm_target()
        uncommitted = ENTRIES.get(ABOUT)
        assert (uncommitted.tier, uncommitted.record.stamp > before.stamp) == (Tier.L3, True)
        transaction.set_rollback(True)
    assert ENTRIES.get(ABOUT).record == store.get(ABOUT).record == before


def test_look_ups_are_stored_in_one_statement(store: TieredStore) -> None:
    hits().forget_counts()
    for _ in range(3):
        store.get(ABOUT)
    store.get("factor:nhl:model")
    with CaptureQueriesContext(connection) as queries:
        hits().flush()
        hits().flush()  # no look-up is new
    assert len(queries) == 1
    entry = CacheEntry.objects.get()
    assert entry.hit_count == 3
    assert entry.last_accessed_at is not None
    counts = {(lookup.kind, lookup.tier): lookup.lookups for lookup in CacheLookup.objects.all()}
    assert counts == {("factor", "l2"): 1, ("factor", "l1"): 2, ("factor", "miss"): 1}


def test_look_ups_that_cannot_be_stored_stay_counted(store: TieredStore) -> None:
    hits().forget_counts()
    store.get(ABOUT)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE caching_cachelookup RENAME TO elsewhere")
        with pytest.raises(Exception, match="cachelookup"):
            hits().flush()
        cursor.execute("ALTER TABLE elsewhere RENAME TO caching_cachelookup")
    hits().flush()
    assert CacheLookup.objects.get().lookups == 1


def test_a_foreign_message_does_no_harm(store: TieredStore) -> None:
    for message in (b"rubbish", b"[1]", b'["elsewhere", ["x"], ""]'):
        old = store.get(ABOUT).record
        client().publish(key("derived"), message)
        warm_target()
        assert until(lambda old=old: store.get(ABOUT).record.stamp > old.stamp)  # type: ignore[misc]
        assert until(lambda: store.subscription.is_up)


def test_the_announcement_of_a_writer_that_saw_another_run_of_redis_is_received(store: TieredStore) -> None:
    store.get(ABOUT)
    client().publish(key("derived"), b'["entries", ["factor:nba:model"], "another run"]')
    assert until(lambda: store.get(ABOUT).tier is Tier.L3)


def test_a_fork_begins_with_no_value_no_subscription_and_no_count(store: TieredStore) -> None:
    store.get(ABOUT)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        run_id = store.subscription.run_id or "no subscription"
        os.write(write, f"{len(store.memory)} {run_id} {hits.current()}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"0 no subscription None"
