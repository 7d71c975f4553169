"""Measure how long a writer waits while 300,000 entries are expired, in batches and by one big DELETE.

make bench, or .venv/bin/python bench/expiry.py
"""

import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database, fill_entries, percentile

ROWS = 300_000


def main() -> None:
    with database():
        from django.db import connection

        from caching import operations
        from caching.models import CacheEntry, CachePolicy
        from core.access.actors import SYSTEM

        CachePolicy.objects.update(grace_hours=1)

        def one_delete() -> int:
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM portfolio_rationales WHERE expires_at < now() - interval '1 hour'")
                return int(cursor.rowcount)

        def in_batches() -> int:
            return operations.expire(1000, actor=SYSTEM)

        for way, expire in (("in batches of 1000", in_batches), ("one big DELETE", one_delete)):
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE portfolio_rationales")
            fill_entries(ROWS, "2 days")
            waits, stop = [0.0], threading.Event()
            writer = threading.Thread(target=write, args=(waits, stop))
            writer.start()
            seconds, deleted = timed(expire)
            stop.set()
            writer.join()
            print(
                f"{way}: {deleted} rows in {seconds:.1f} s; a writer made {len(waits)} writes of one row each "
                f"and waited: p99 {percentile(waits, 0.99) * 1000:.0f} ms, at most {max(waits) * 1000:.0f} ms"
            )
            assert deleted + len(waits) >= ROWS and CacheEntry.objects.count() <= len(waits)


def timed(work: Callable[[], int]) -> tuple[float, int]:
    start = time.perf_counter()
    deleted = work()
    return time.perf_counter() - start, deleted


def write(waits: list[float], stop: threading.Event) -> None:
    """Refresh random entries one after the other, as a warm-up does, until `stop` is set."""
    import orjson
    from django.db import connection

    from caching import sql

    random_rows = random.Random(1)  # noqa: S311 - the same rows in every run
    while not stop.is_set():
        number = random_rows.randint(1, ROWS)
        sport = ["MLB", "NBA", "NFL", "NHL"][number % 4]
        row = {
            "cache_key": f"player:{sport.lower()}:player-{number}:v1",
            "cache_type": "CACHE_PLAYER",
            "data_json": "{}",
            "sport": sport,
            "subject": f"player-{number}",
            "model_version": "v1",
            "data_hash": "1" * 64,
            "context": {},
            "narrative": "",
            "key_points": [],
            "confidence": 0.5,
            "sample_size": 1,
            "ms": 1.0,
            "size": 2,
            "ttl": 3600,
            "soft": 1.0,
        }
        start = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute(sql.STORE_ENTRIES, {"rows": orjson.dumps([row]).decode()})
        waits.append(time.perf_counter() - start)
    connection.close()


if __name__ == "__main__":
    main()
