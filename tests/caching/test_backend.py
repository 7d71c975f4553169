"""The behavior of caches["derived"] that Django's own tests do not cover."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from caching import checks, operations
from caching.backend import encode
from caching.choices import Tier
from caching.models import CacheValue
from caching.tiers.values import VALUES
from core.access.actors import SYSTEM
from core.redis import client, key
from tests import databases
from tests.caching.conftest import pass_time
from tests.conftest import committed
from tests.processes import until

pytestmark = committed
cache = caches["derived"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.fixture(autouse=True)
def subscribed(db: None) -> Iterator[None]:
    assert until(lambda: VALUES.subscription.is_up)
    yield
    cache.clear()


@given(JSON.filter(lambda value: "\\ud" not in repr(value)))
def test_a_json_value_comes_back_as_it_was(value: Any) -> None:
    assert orjson.loads(encode(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        *((1, 2), b"bytes", {1: "a"}, {1, 2}, {"deep": [{"er": (1,)}]}, object()),
        *(float("nan"), [float("inf")], 2**70, "\ud800", date(2026, 1, 1), datetime.now(UTC), uuid.uuid4()),
    ],
)
def test_a_value_that_json_cannot_represent_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="derived cache holds JSON"):
        cache.set("key", value)
    with pytest.raises(TypeError, match="derived cache holds JSON"):
        cache.add("key", value)
    assert not CacheValue.objects.exists()


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")  # memcached would refuse these keys
@pytest.mark.parametrize("name", ["x" * 256, "with spaces", "tab\tand\nline", "nul\0", "\ud800", "ключ" * 80])
def test_any_key_will_do(name: str) -> None:
    cache.set(name, 1)
    cache.set(f"{name}!", 2)
    assert (cache.get(name), cache.get(f"{name}!")) == (1, 2)
    assert cache.delete(name) is True
    assert cache.get(name) is None
    assert all(len(row.encode()) <= 255 for row in CacheValue.objects.values_list("cache_key", flat=True))


def test_a_value_ends_with_its_expiry_in_every_tier() -> None:
    cache.set("key", "value", 30)
    assert until(lambda: VALUES.get(":1:key").tier is Tier.L1)
    pass_time(31)
    assert cache.get("key") is None
    CacheValue.objects.update(expires_at=Now())
    VALUES.memory.clear()
    client().delete(*client().scan_iter(key("derived:values:*")))
    assert cache.get("key") is None
    assert cache.add("key", "new") is True
    assert cache.get("key") == "new"


def test_every_tier_answers() -> None:
    cache.set("key", "value")
    tiers = [VALUES.get(":1:key").tier for _ in range(2)]
    assert until(lambda: VALUES.get(":1:key").tier is Tier.L1)  # once its own announcement has arrived
    assert tiers[0] is Tier.L2
    VALUES.memory.clear()
    client().delete(*client().scan_iter(key("derived:values:*")))
    assert VALUES.get(":1:key").tier is Tier.L3


def test_a_rollback_undoes_the_writes_of_its_transaction() -> None:
    cache.set("key", "before")
    assert cache.get("key") == "before"
    with transaction.atomic():
        cache.set("key", "during")
        assert cache.get("key") == "during"
        with transaction.atomic():
            cache.delete("key")
            assert cache.get("key") is None
            transaction.set_rollback(True)
        assert cache.get("key") == "during"
        transaction.set_rollback(True)
    assert cache.get("key") == "before"
    with transaction.atomic():
        cache.set("key", "after")
    assert cache.get("key") == "after"


def test_incrementing_is_one_step_and_only_for_whole_numbers() -> None:
    cache.set("count", 41, 100)
    assert (cache.incr("count"), cache.decr("count", 2), cache.get("count")) == (42, 40, 40)
    cache.set("text", "41")
    with pytest.raises(TypeError, match="no whole number"):
        cache.incr("text")
    for delta in (1.5, 2**64):
        with pytest.raises(TypeError, match="delta must be a whole number"):
            cache.incr("count", delta)  # type: ignore[arg-type]
    cache.set("count", 2**63 - 1)
    with pytest.raises(TypeError, match="would not be one"):
        cache.incr("count")
    assert cache.get("count") == 2**63 - 1


def test_a_write_survives_a_restart_of_the_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    databases.end_session(backend)
    cache.set("key", "value")
    assert cache.get("key") == "value"


def test_the_asynchronous_methods_do_the_same() -> None:
    async def use() -> list[Any]:
        await cache.aset("key", [1])
        answers = [await cache.aget("key"), await cache.ahas_key("key"), await cache.aadd("key", 2)]
        answers += [await cache.aget_many(["key", "other"]), await cache.atouch("key", 5), await cache.adelete("key")]
        await cache.aset("count", 1)
        return [*answers, await cache.aincr("count"), await cache.aget_or_set("new", lambda: "made")]

    assert async_to_sync(use)() == [[1], True, False, {"key": [1]}, True, True, 2, "made"]


def test_clearing_reaches_every_tier() -> None:
    cache.set("key", "value")
    old = VALUES.get(":1:key").record
    cache.clear()
    assert cache.get("key") is None
    VALUES.redis.put(":1:key", old, 0.0)  # by a reader that was slow
    assert cache.get("key") is None


def test_expired_values_are_deleted_in_batches() -> None:
    for number in range(5):
        cache.set(str(number), number, 60)
    cache.set("for-ever", 0, None)
    CacheValue.objects.filter(cache_key__in=[":1:0", ":1:1", ":1:2"]).update(
        expires_at=F("expires_at") - timedelta(hours=1)
    )
    assert operations.expire(2, actor=SYSTEM) == 3
    assert CacheValue.objects.count() == 3


def test_a_missing_configuration_is_an_error_of_the_system_check(settings: Settings) -> None:
    assert checks.derived_cache_is_configured() == []
    settings.CACHES = {"default": settings.CACHES["default"]}
    [error] = checks.derived_cache_is_configured()
    assert (error.id, "caching.backend.DerivedCache" in (error.hint or "")) == ("caching.E001", True)
