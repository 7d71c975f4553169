"""Measure a run of the exit suite, without Python's start-up, on a fresh installation and with 1,000,000 entries.

make bench, or .venv/bin/python bench/validate.py
"""

import statistics
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database, season, site

ROUNDS, ENTRIES = 5, 1_000_000
# Complete copies of the four factor models.
COPY = """
INSERT INTO portfolio_rationales
       (cache_key, cache_type, data_json, sport, subject, model_version, data_hash, context_json, narrative, key_points,
        confidence, sample_size, generation_time_ms, size_bytes, hit_count, soft_expires_at, expires_at, ttl_seconds,
        is_flagged, version, created_at, updated_at)
SELECT cache_key || '.' || n, cache_type, data_json, sport, subject, model_version, data_hash, context_json, narrative,
       key_points, confidence, sample_size, generation_time_ms, size_bytes, 0, soft_expires_at, expires_at, ttl_seconds,
       false, 1, created_at, updated_at
  FROM portfolio_rationales, generate_series(1, %s) n WHERE cache_type = 'CACHE_FACTOR'"""


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310 - a loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def measure(what: str, rounds: int, *, is_full: bool = False, since: datetime | None = None) -> None:
    from core.health_checks import Suite, checks
    from validation.runner import run_checks

    durations = []
    for _ in range(rounds):
        start = time.perf_counter()
        outcomes = run_checks(checks(Suite.EXIT), is_full=is_full, since=since)[1]
        durations.append(time.perf_counter() - start)
    passed = sum(outcome.finding.result.value == "PASS" for outcome in outcomes)
    slowest = max(outcomes, key=lambda outcome: outcome.ms)
    print(
        f"{what}: {statistics.median(durations):.2f} s ({passed} of {len(outcomes)} passed; "
        f"{slowest.check.id} took {slowest.ms / 1000:.2f} s)",
        flush=True,
    )


def main() -> None:
    with database() as name:
        from django.conf import settings
        from django.db import connection

        season()
        with site(name) as url:
            settings.SITE_URL = url
            while not answers(url):
                time.sleep(0.2)
            measure("28 states, 25 entries", ROUNDS)
            with connection.cursor() as cursor:
                cursor.execute(COPY, [ENTRIES // 4])
                cursor.execute("VACUUM ANALYZE portfolio_rationales")
            measure(f"{ENTRIES:,} entries", ROUNDS)
            measure(
                f"{ENTRIES:,} entries, all changed since the last full run",
                ROUNDS,
                since=datetime(2020, 1, 1, tzinfo=UTC),
            )
            measure(f"{ENTRIES:,} entries, --full", 3, is_full=True)


if __name__ == "__main__":
    main()
