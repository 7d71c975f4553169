"""Shared setup of the benchmarks: a database per process, a fleet with one account per provider, child processes."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tests.environment  # noqa: E402, F401 - sets the environment and starts the servers

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
GUNICORN_CONFIG = ["--config", "python:config.processes.gunicorn"]  # as in the Procfile
SPORTS = ["MLB", "NBA", "NFL", "NHL"]


def keys(providers: int) -> dict[str, str]:
    """Return environment variables with one API key per provider, so that each provider is an account of its own."""
    return {f"BENCH{number}_API_KEY": f"not-a-secret-{number}" for number in range(providers)}


def fleet(providers: int, intervals: Sequence[int] = (60,)) -> bytes:
    """Return a catalogue as JSON. Each provider has all four sports; the states use the intervals (seconds) in turn."""
    names = [f"bench{number}" for number in range(providers)]
    shared = {"adapter": "odds_api", "requests_per_minute": 1000}
    return json.dumps(
        {
            "sports": [{"code": sport, "name": sport} for sport in SPORTS],
            "providers": [{"name": name, "credential_env": f"{name.upper()}_API_KEY"} | shared for name in names],
            "states": [
                {
                    "provider_name": name,
                    "sport": sport,
                    "is_enabled": True,
                    "poll_interval_seconds": intervals[(4 * row + column) % len(intervals)],
                }
                for row, name in enumerate(names)
                for column, sport in enumerate(SPORTS)
            ],
        }
    ).encode()


@contextmanager
def database() -> Iterator[str]:
    """Create a migrated database for this process, yield its name, and drop it at the end."""
    import django

    django.setup()
    from django.db import connection

    from tests import databases

    name = databases.clone()
    connection.close()
    before = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = name
    try:
        yield name
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
        databases.drop(name)


@contextmanager
def processes(database: str, *commands: Sequence[str], extra: Mapping[str, str] | None = None) -> Iterator[list[int]]:
    """Run Python commands on that database while the block runs; yield their process ids."""
    from django.conf import settings

    from tests import databases

    environment = os.environ | (extra or {})
    environment |= {"DATABASE_URL": databases.address(database), "REDIS_URL": settings.REDIS_URL}
    started = [
        subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for command in commands
    ]
    try:
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def season() -> None:
    """Load the catalogue's fleet and the stub's season, and warm every target."""
    from caching.models import CacheTarget
    from caching.warming.warm import warm
    from core.access.actors import SYSTEM
    from providers.fleet.backfill import CATALOGUE, backfill
    from providers.gamelogs.box_score import Log
    from providers.gamelogs.loader import Imported, load
    from providers.stub.game_logs import game_logs
    from providers.stub.season import SEASONS
    from providers.stub.server import SEED

    backfill(CATALOGUE.read_bytes(), actor=SYSTEM)
    for sport in SEASONS:
        logs = game_logs(sport, SEED, date(2026, 1, 5))
        rows = (Log(**log | {"played_on": date.fromisoformat(log["played_on"])}) for log in logs)
        load(enumerate(rows), Imported("stub", sport), skip_bad=False)
    warm(CacheTarget.objects.filter(is_enabled=True), actor=SYSTEM)


@contextmanager
def site(name: str) -> Iterator[str]:
    """Run gunicorn with the command of the Procfile, and yield its address."""
    port = free_port()
    command = ["-m", "gunicorn", *GUNICORN_CONFIG, "config.wsgi"]
    extra = {"WEB_PORT": str(port), "SITE_URL": f"http://127.0.0.1:{port}"}
    from django.conf import settings

    with processes(name, command, extra=extra | {"REDIS_PREFIX": settings.REDIS_PREFIX}):
        yield f"http://127.0.0.1:{port}"


def worker(name: str) -> list[str]:
    options = ["-n", f"{name}@%h", "--pool", "threads", "--concurrency", "8", "-Q", "polls"]
    return ["-m", "celery", "-A", "config.celery", "worker", *options, "--without-gossip", "--without-mingle"]


FILL = """
INSERT INTO portfolio_rationales
       (cache_key, cache_type, data_json, sport, subject, model_version, data_hash, context_json, narrative, key_points,
        confidence, sample_size, generation_time_ms, size_bytes, hit_count, soft_expires_at, expires_at, ttl_seconds,
        is_flagged, version, created_at, updated_at)
SELECT 'player:' || lower(sport) || ':player-' || n || ':v1', 'CACHE_PLAYER', repeat('{"player": "A"} ', 60), sport,
       'player-' || n, 'v1', repeat('0', 64), '{}', 'A sentence about a player.', '[]', 0.5, 50, 1.0, 1000, 0,
       now() - %(ago)s::interval, now() - %(ago)s::interval, 3600, false, 1, now(), now()
  FROM (SELECT n, (ARRAY['MLB', 'NBA', 'NFL', 'NHL'])[1 + n %% 4] AS sport FROM generate_series(1, %(rows)s) n) made"""


def fill_entries(rows: int, ago: str) -> None:
    """Insert entries of players of all sports that expired `ago` (an interval) before now; a negative one is ahead."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(FILL, {"rows": rows, "ago": ago})
        cursor.execute("ANALYZE portfolio_rationales")


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
