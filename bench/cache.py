"""Measure one get from each tier against its peers, 64 threads on one expired key, and storing many entries.

make bench, or .venv/bin/python bench/cache.py [get|expired|upsert]
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database

SIZES, GET_ROUNDS, GETS, ROUNDS = (1_000, 16_000), 51, 200, 9
THREADS, ENTRIES = 64, 25_000
Get = Callable[[], Any]


def payload(size: int) -> dict[str, Any]:
    """Return a correlation's payload of about `size` bytes as JSON, in which no number occurs twice."""
    pairs = [
        {"with": f"rebounds{n}", "r": 0.544 + n / 1e9, "low": 0.493 + n / 1e9, "high": 0.591 + n / 1e9, "n": 800 + n}
        for n in range(size // 89)
    ]
    return {"statistic": "points", "source": "stub", "groups": [{"group": "C", "pairs": pairs}]}


def get() -> None:
    with database():
        import orjson
        from django.conf import settings
        from django.core.cache import caches
        from django.core.cache.backends.db import DatabaseCache
        from django.core.cache.backends.locmem import LocMemCache
        from django.core.cache.backends.redis import RedisCache
        from django.core.management import call_command
        from django_redis.cache import RedisCache as DjangoRedis
        from dogpile.cache import make_region

        from caching.tiers import values
        from caching.tiers.subscription import Channel, Subscription
        from caching.tiers.tiered_store import TieredStore
        from core.redis import client

        class Down(Subscription):
            is_up = False

        class NoRedis(Channel):
            subscription = Down({})

        call_command("createcachetable", "peer", verbosity=0)
        region = make_region().configure(
            "dogpile.cache.redis",
            expiration_time=3600,
            arguments={"url": settings.REDIS_URL, "redis_expiration_time": 7200},
        )
        derived, options = caches["derived"], {"TIMEOUT": 3600}
        peers = {
            "LocMemCache": LocMemCache("peer", options),
            "Django RedisCache": RedisCache(settings.REDIS_URL, options),
            "django-redis": DjangoRedis(settings.REDIS_URL, options),
            "DatabaseCache": DatabaseCache("peer", options),
        }
        online = values.VALUES
        offline = TieredStore("values", values.read_stored, kind="value", channel=NoRedis())
        assert online.subscription.wait_until_up()
        name = ":1:key"

        def through(store: TieredStore, *, forget: bool) -> Get:
            def one() -> Any:
                values.VALUES = store
                if forget:
                    store.memory.drop(name)
                return derived.get("key")

            return one

        for size in SIZES:
            value = payload(size)
            data = orjson.dumps(value)
            values.VALUES = online  # so that the write is announced
            derived.set("key", value, 3600)
            for peer in peers.values():
                peer.set("key", value)
            region.set("key", value)
            client().set("peer", data)
            wait_until(lambda: online.get(name).tier.value == "l1")
            offline.memory.clear()
            gets: dict[str, Get] = {
                "L1": through(online, forget=False),
                "L2": through(online, forget=True),
                "L3": through(offline, forget=True),
                "redis-py + orjson": lambda: orjson.loads(client().get("peer")),  # type: ignore[arg-type]
                "dogpile.cache": lambda: region.get("key"),
            } | {peer: (lambda cache=cache: cache.get("key")) for peer, cache in peers.items()}
            for label, one in gets.items():
                assert one() == value, label
            report(size, len(data), gets)


def wait_until(reached: Callable[[], bool]) -> None:
    while not reached():
        time.sleep(0.01)


def report(size: int, exact: int, gets: dict[str, Get]) -> None:
    taken: dict[str, list[float]] = {label: [] for label in gets}
    shuffle = random.Random(1).shuffle  # noqa: S311 - the same order in every run
    order = list(gets.items())
    for _ in range(GET_ROUNDS):  # in a different order each time, so that a slow moment affects all of them
        shuffle(order)
        for label, one in order:
            start = time.perf_counter()
            for _ in range(GETS):
                one()
            taken[label].append((time.perf_counter() - start) / GETS * 1e6)
    print(
        f"get of {exact} bytes of JSON, us: " + ", ".join(f"{k} {statistics.median(v):.1f}" for k, v in taken.items())
    )
    pairs = [("L1", "LocMemCache"), ("L2", "redis-py + orjson"), ("L2", "django-redis")]
    pairs += [("L2", "Django RedisCache"), ("L2", "dogpile.cache"), ("L3", "DatabaseCache")]
    for tier, peer in pairs:
        ratio = statistics.median(peer_us / us for us, peer_us in zip(taken[tier], taken[peer], strict=True))
        print(f"  {tier}: {ratio:.2f} x as fast as {peer}")


def expired() -> None:
    with database():
        from datetime import timedelta

        from django.db import connection
        from django.db.models.functions import Now

        from caching.models import CacheEntry, CacheTarget
        from caching.serving import serve
        from caching.tiers.entries import ENTRIES, Key
        from core.access.actors import SYSTEM
        from providers.fleet.backfill import CATALOGUE, backfill
        from tests.caching import conftest

        conftest.NEWEST = 4_000
        backfill(CATALOGUE.read_bytes(), actor=SYSTEM)
        conftest.bring_season("NBA")
        key = Key.parse("correlation", "nba", "points")
        wanted = CacheTarget.objects.filter(cache_type=key.cache_type, sport="NBA", subject="points")
        for state, past in (("past its grace", timedelta(days=3)), ("within its grace", timedelta(minutes=1))):
            waits: list[float] = []
            computations, computing = [], []
            for _ in range(ROUNDS):
                serve.serve(key)
                CacheEntry.objects.update(soft_expires_at=Now() - past, expires_at=Now() - past)
                ENTRIES.announce({str(key): None}, ENTRIES.get(str(key)).record.stamp + 1)
                before = wanted.get().fence

                def ask(_: int) -> tuple[float, bool]:
                    start = time.perf_counter()
                    served = serve.serve(key)
                    connection.close()
                    return time.perf_counter() - start, served.is_computed

                with ThreadPoolExecutor(THREADS) as pool:
                    answers = list(pool.map(ask, range(THREADS)))
                computations.append(wanted.get().fence - before)
                computing.append(CacheEntry.objects.get().generation_time_ms)
                waits += [seconds * 1000 for seconds, _ in answers]
            print(
                f"{THREADS} threads on a key {state}: computed at most {max(computations)} times, "
                f"{statistics.median(computing):.0f} ms each; an answer took {statistics.median(waits):.0f} ms, "
                f"at most {max(waits):.0f} ms"
            )


def bulk_create(targets: Sequence[Any], data: str, data_hash: str, result: Any) -> None:
    from datetime import timedelta

    from django.utils import timezone

    from caching.models import CacheEntry

    now = timezone.now()
    shared = {
        "data_json": data,
        "sport": "NBA",
        "model_version": "v1",
        "data_hash": data_hash,
        "context_json": result.context,
        "narrative": result.narrative,
        "key_points": result.key_points,
        "confidence": result.confidence,
        "sample_size": result.sample_size,
        "generation_time_ms": 1.0,
        "size_bytes": len(data),
        "soft_expires_at": now + timedelta(hours=1),
        "expires_at": now + timedelta(hours=1),
        "ttl_seconds": 3600,
        "created_at": now,
        "updated_at": now,
    }
    rows = [
        CacheEntry(cache_key=target.cache_key, cache_type=target.cache_type, subject=target.subject, **shared)
        for target in targets
    ]
    fields = [field.name for field in CacheEntry._meta.fields if field.name not in ("id", "cache_key")]
    CacheEntry.objects.bulk_create(
        rows, batch_size=1000, update_conflicts=True, unique_fields=["cache_key"], update_fields=fields
    )


def upsert() -> None:  # noqa: C901 - one scenario
    with database():
        from django.db import connection

        from caching.choices import CacheType
        from caching.derivations.result import Computed, encode_payload
        from caching.models import CachePolicy, CacheTarget
        from caching.warming.leases import lease_targets
        from caching.warming.results import Computation
        from caching.warming.write import store

        CacheTarget.objects.bulk_create(
            CacheTarget(cache_type=CacheType.PLAYER, sport="NBA", subject=f"player-{n}", name=f"Player {n}")
            for n in range(ENTRIES)
        )
        targets = list(CacheTarget.objects.filter(subject__startswith="player-"))
        policies = CachePolicy.objects.in_bulk()

        def computed(number: int) -> Computed:
            value: Any = payload(1_000) | {"round": number}
            return Computed(value, "A sentence.", ["a", "b", "c"], 0.5, 50, {"newest": "2026-01-04", "source": "stub"})

        def slipway(number: int) -> None:
            for start in range(0, ENTRIES, 1000):
                batch = targets[start : start + 1000]
                fences = lease_targets(batch, force=True)
                result = computed(number)
                data = encode_payload(result.payload)
                computations = [Computation(target, fences[target.pk], 1.0, result, data) for target in batch]
                stored = store(computations, policies)
                assert len(stored) == len(batch)

        def peer(number: int) -> None:
            result = computed(number)
            bulk_create(targets, encode_payload(result.payload).decode(), f"{number:064}", result)

        taken: dict[str, dict[str, list[float]]] = {}
        for number in range(3):
            for label, write in (("slipway", slipway), ("bulk_create", peer)):
                with connection.cursor() as cursor:
                    cursor.execute("TRUNCATE portfolio_rationales")
                for change, content in (
                    ("all new", 2 * number),
                    ("all differ", 2 * number + 1),
                    ("all the same", 2 * number + 1),
                ):
                    start = time.perf_counter()
                    write(content)
                    taken.setdefault(change, {}).setdefault(label, []).append(time.perf_counter() - start)
        for change, by_label in taken.items():
            pairs = zip(by_label["slipway"], by_label["bulk_create"], strict=True)
            ratio = statistics.median(peer_seconds / seconds for seconds, peer_seconds in pairs)
            print(
                f"{ENTRIES} entries, {change}: {statistics.median(by_label['slipway']):.2f} s with leases and "
                f"announcements, bulk_create {statistics.median(by_label['bulk_create']):.2f} s, {ratio:.2f} x"
            )


if __name__ == "__main__":
    for part in sys.argv[1:] or ("get", "expired", "upsert"):
        {"get": get, "expired": expired, "upsert": upsert}[part]()
