"""Three tiers: which one answers, and that none answers with what was replaced."""

import json
import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from caching import operations
from caching.choices import State, Tier
from caching.models import CacheEntry, CacheLookup, CachePolicy, CacheTarget
from caching.tiers.entries import ENTRIES
from caching.tiers.records import pack
from caching.tiers.tiered_store import Store, hits
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from core.redis import client, key
from tests.caching.conftest import make_store
from tests.conftest import committed
from tests.processes import until

pytestmark = committed
ABOUT = "factor:nba:model"


def target() -> CacheTarget:
    return CacheTarget.objects.get(cache_type="CACHE_FACTOR", sport="NBA")


def warmed() -> None:
    [done] = warm([target()], actor=SYSTEM, force=True)
    assert done.record is not None


def in_redis() -> dict[bytes, bytes]:
    return {name: client().get(name) for name in client().scan_iter(key("derived:entries:*"))}  # type: ignore[misc]


def empty_redis() -> None:
    for name in in_redis():
        client().delete(name)


@pytest.fixture
def store(nba: None) -> Store:
    warmed()
    return make_store()


def test_each_tier_answers_for_those_behind_it(store: Store) -> None:
    empty_redis()
    tiers = [store.get(ABOUT).tier]
    nothing: list[Callable[[], None]] = []
    for forget in (nothing, [store.memory.clear], [store.memory.clear, empty_redis]):
        for step in forget:
            step()
        tiers.append(store.get(ABOUT).tier)
    assert tiers == [Tier.L3, Tier.L1, Tier.L2, Tier.L3]
    found = store.get(ABOUT)
    assert (found.state, found.tier) == (State.FRESH, Tier.L1)
    assert found.value == json.loads(CacheEntry.objects.get().data_json)
    assert 0 <= found.age_seconds < 60


def test_what_a_writer_replaces_is_dropped_in_every_process(store: Store) -> None:
    other = make_store()
    before = store.get(ABOUT), other.get(ABOUT)
    assert before[0].record == before[1].record
    warmed()
    assert until(lambda: store.get(ABOUT).record != before[0].record)
    assert until(lambda: other.get(ABOUT).record == store.get(ABOUT).record)


@pytest.mark.parametrize(
    "change",
    [
        lambda: operations.expire_now(CacheEntry.objects.values_list("pk", flat=True), actor=SYSTEM),
        lambda: operations.outdate("NBA"),
    ],
)
def test_changed_times_reach_every_process(change: Callable[[], int], store: Store) -> None:
    assert not store.get(ABOUT).is_due
    assert change() == 1
    assert until(lambda: store.get(ABOUT).is_due)
    assert ENTRIES.get(ABOUT).is_due


def test_another_version_is_served_once_the_target_names_it(store: Store) -> None:
    assert store.get(ABOUT).state is State.FRESH
    row = target()
    row.model_version = "v9"
    operations.save(row, actor=SYSTEM)
    assert until(lambda: store.get(ABOUT).state is State.MISSING)
    row.model_version = "v2.1"
    operations.save(row, actor=SYSTEM)
    assert until(lambda: store.get(ABOUT).state is State.FRESH)
    row.is_enabled = False
    operations.save(row, actor=SYSTEM)
    assert until(lambda: store.get(ABOUT).state is State.MISSING)


def test_stale_says_so_and_ends_with_its_grace(store: Store) -> None:
    CachePolicy.objects.update(grace_hours=1)
    CacheEntry.objects.update(soft_expires_at=Now() - timedelta(minutes=9), expires_at=Now() - timedelta(minutes=8))
    empty_redis()
    assert store.get(ABOUT).state is State.STALE
    CacheEntry.objects.update(soft_expires_at=Now() - timedelta(minutes=70), expires_at=Now() - timedelta(minutes=61))
    for reader in (store, make_store()):  # from L1, and from L3
        reader.memory.clear()
        empty_redis()
        found = reader.get(ABOUT)
        assert (found.state, found.tier) == (State.MISSING, Tier.MISS)
        with pytest.raises(ValueError, match="no value"):
            found.value  # noqa: B018


def test_a_slow_reader_does_not_put_back_what_was_replaced(store: Store) -> None:
    old = store.get(ABOUT).record
    mark = store.memory.mark(ABOUT)
    warmed()
    new = ENTRIES.get(ABOUT).record
    assert new.stamp > old.stamp
    assert until(lambda: store.memory.get(ABOUT) is None)
    store.memory.put(ABOUT, old, float("inf"), mark)
    assert store.memory.get(ABOUT) is None
    store._shared.put(ABOUT, old, 0.0)
    assert store._shared.get(ABOUT) == new


def test_after_a_deletion_neither(store: Store) -> None:
    old = store.get(ABOUT).record
    operations.delete_targets([target().pk], actor=SYSTEM)
    store._shared.put(ABOUT, old, 0.0)
    assert store._shared.get(ABOUT) is None


@pytest.mark.parametrize(
    "damage", [lambda f: f[:-1] + b"!", lambda f: b"rubbish", lambda f: f[:40], lambda f: b"9" * 99]
)
def test_a_damaged_value_is_dropped_counted_and_read_from_the_table(
    damage: Callable[[bytes], bytes], store: Store
) -> None:
    [(name, frame)] = in_redis().items()
    client().set(name, damage(frame))
    found = store.get(ABOUT)
    assert (found.state, found.tier) == (State.FRESH, Tier.L3)
    assert in_redis() == {name: pack(found.record)}
    hits.flush()
    assert CacheLookup.objects.get(kind="factor", tier="corrupt").lookups == 1


def test_nobody_sees_what_is_not_committed(store: Store) -> None:
    before = store.get(ABOUT).record
    with transaction.atomic():
        warmed()
        own = ENTRIES.get(ABOUT)
        assert (own.tier, own.record.stamp > before.stamp) == (Tier.L3, True)
        transaction.set_rollback(True)
    assert ENTRIES.get(ABOUT).record == store.get(ABOUT).record == before


def test_look_ups_are_written_down_in_one_statement(store: Store) -> None:
    hits.forget_counts()
    for _ in range(3):
        store.get(ABOUT)
    store.get("factor:nhl:model")
    with CaptureQueriesContext(connection) as queries:
        hits.flush()
        hits.flush()  # nothing new
    assert len(queries) == 1
    entry = CacheEntry.objects.get()
    assert entry.hit_count == 3
    assert entry.last_accessed_at is not None
    counts = {(lookup.kind, lookup.tier): lookup.lookups for lookup in CacheLookup.objects.all()}
    assert counts == {("factor", "l2"): 1, ("factor", "l1"): 2, ("factor", "miss"): 1}


def test_look_ups_that_cannot_be_written_down_stay_counted(store: Store) -> None:
    hits.forget_counts()
    store.get(ABOUT)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE caching_cachelookup RENAME TO elsewhere")
        with pytest.raises(Exception, match="cachelookup"):
            hits.flush()
        cursor.execute("ALTER TABLE elsewhere RENAME TO caching_cachelookup")
    hits.flush()
    assert CacheLookup.objects.get().lookups == 1


def test_a_foreign_message_does_no_harm(store: Store) -> None:
    for message in (b"rubbish", b"[1]", b'["elsewhere", ["x"], ""]'):
        old = store.get(ABOUT).record
        client().publish(key("derived"), message)
        warmed()
        assert until(lambda old=old: store.get(ABOUT).record.stamp > old.stamp)  # type: ignore[misc]
        assert until(lambda: store._link.is_up)


def test_a_writer_that_took_redis_for_another_run_of_it_is_heard(store: Store) -> None:
    store.get(ABOUT)
    client().publish(key("derived"), b'["entries", ["factor:nba:model"], "another run"]')
    assert until(lambda: store.get(ABOUT).tier is Tier.L3)


def test_a_fork_begins_with_nothing(store: Store) -> None:
    store.get(ABOUT)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, f"{len(store.memory)} {store._link.run or 'no line'}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"0 no line"
