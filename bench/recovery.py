"""Measure snapshots, restores and rollbacks at 1,000,000 cache entries, against pg_dump and Django's dumpdata.

make bench, or .venv/bin/python bench/recovery.py [snapshot] [restore] [levels] [djangos]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import ROOT, database, season
from tests import databases

ROUNDS, ENTRIES, DJANGOS = 3, 1_000_000, 100_000
# Entries with a player's payload, each with numbers of its own.
FILL = """
INSERT INTO portfolio_rationales
       (cache_key, cache_type, data_json, sport, subject, model_version, data_hash, context_json, narrative, key_points,
        confidence, sample_size, generation_time_ms, size_bytes, hit_count, soft_expires_at, expires_at, ttl_seconds,
        is_flagged, version, created_at, updated_at)
SELECT 'player:nba:player-' || n || ':v1', 'CACHE_PLAYER', data, 'NBA', 'player-' || n, 'v1',
       encode(sha256(convert_to(data, 'UTF8')), 'hex'), '{"games": 70}', 'Expected above the mean of the last games.',
       '["a", "b"]', random(), 70, random() * 9, length(data), 0, now() + interval '50 min', now() + interval '1 h',
       3600, false, 1, now(), now()
  FROM (SELECT n, format('{"player":"Player %%s","source":"stub","games":70,"projections":[%%s]}', n, (
        SELECT string_agg(format(
               '{"statistic":"%%s","ewma":%%s,"projection":%%s,"standard_error":%%s,"last":[%%s,%%s,%%s]}',
               name, round((random() * 30)::numeric, 4), round((random() * 30)::numeric, 4),
               round(random()::numeric, 5), (random() * 30)::int, (random() * 30)::int, (random() * 30)::int), ',')
          FROM unnest(ARRAY['points','rebounds','assists','threes','steals','blocks','turnovers','fouls']) name
         WHERE n > 0)) AS data
          FROM generate_series(%(first)s, %(last)s) n) made"""


def binary(name: str) -> str:
    from config.embedded.location import location_of
    from config.embedded.server_commands import postgres_binary

    return postgres_binary(location_of(), name)


def run(*command: str) -> float:
    """Run a command and return the seconds that it took."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fill(rows: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for first in range(1, rows + 1, 100_000):
            cursor.execute(FILL, {"first": first, "last": min(rows, first + 99_999)})
        cursor.execute("VACUUM ANALYZE portfolio_rationales")


def protected_tables() -> list[str]:
    from rollout.recovery.protect import protected

    return [part for each in protected() for part in ("-t", each.table)]


def size(path: Path) -> float:
    """Return the size of a file, or of all files in a folder, in MB."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


@contextmanager
def installation(rows: int) -> Iterator[str]:
    with database() as name, tempfile.TemporaryDirectory(prefix="sw-bench-") as folder:
        from django.conf import settings

        settings.SNAPSHOT_DIR = Path(folder)
        season()
        fill(rows)
        yield name


def dump(name: str, file: Path, *options: str) -> float:
    return run(binary("pg_dump"), "-Fc", *options, "-f", str(file), *protected_tables(), "-d", databases.address(name))


def snapshot(name: str) -> None:
    from django.conf import settings

    from core.access.actors import SYSTEM
    from rollout.recovery.snapshots import operations as snapshots

    made = [snapshots.create(actor=SYSTEM) for _ in range(ROUNDS)]
    seconds, megabytes = statistics.median(each.seconds for each in made), made[0].size_bytes / 1e6
    print(f"snapshot: {seconds:.1f} s, {megabytes:.0f} MB", flush=True)
    file = settings.SNAPSHOT_DIR / "dump"
    for setting, options in (("its default", []), ("its fastest, gzip 1", ["-Z", "1"])):
        took = statistics.median(dump(name, file, *options) for _ in range(ROUNDS))
        ratios = f"{took / seconds:.1f} x as fast, {megabytes / size(file):.2f} x the size"
        print(f"pg_dump -Fc at {setting}: {took:.1f} s, {size(file):.0f} MB: the snapshot is {ratios}", flush=True)
    print(f"verify: {timed(lambda: snapshots.verify(made[0], actor=SYSTEM)):.1f} s")
    memory(name)


def memory(name: str) -> None:
    """Print the peak memory of `snapshot create` above that of `snapshot list`, which only starts and prints."""
    from django.conf import settings

    peaks = []
    places = {
        "DATABASE_URL": databases.address(name),
        "REDIS_URL": settings.REDIS_URL,
        "SNAPSHOT_DIR": str(settings.SNAPSHOT_DIR),
    }
    for verb in ("list", "create"):
        command = [sys.executable, "-c", PEAK.format(verb=verb)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | places, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    print(f"memory: {peaks[1] - peaks[0]:.0f} MB above the command's {peaks[0]:.0f} MB", flush=True)


PEAK = """
import resource, runpy, sys
sys.argv = ['manage.py', 'snapshot', '{verb}']
try:
    runpy.run_path('manage.py', run_name='__main__')
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def put_back(snapshot_name: str) -> float:
    from core.access.actors import SYSTEM
    from rollout.recovery import operations
    from rollout.recovery.snapshots import operations as snapshots

    start = time.perf_counter()
    done = operations.execute_run(operations.restore(snapshots.find_snapshot(snapshot_name), actor=SYSTEM))
    [step] = done.steps.all()
    how = {table: each["how"] for table, each in step.evidence["tables"].items()}
    assert done.outcome == "done"
    print(f"  ({how['portfolio_rationales']})")
    return time.perf_counter() - start


def execute(statement: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)


def restore(name: str) -> None:
    from django.conf import settings

    from core.access.actors import SYSTEM
    from rollout.recovery.snapshots import operations as snapshots

    made = snapshots.create(actor=SYSTEM)
    file = settings.SNAPSHOT_DIR / "dump"
    # That table alone: pg_restore lacks the functions that the triggers of the others call.
    run(binary("pg_dump"), "-Fc", "-t", "portfolio_rationales", "-f", str(file), "-d", databases.address(name))
    durations: dict[str, list[float]] = {"restore, all entries gone": [], "restore, 1 % differs": [], "pg_restore": []}
    for _ in range(ROUNDS):
        execute("DELETE FROM portfolio_rationales")
        execute("VACUUM portfolio_rationales")
        durations["restore, all entries gone"].append(put_back(made.name))
        execute("UPDATE portfolio_rationales SET narrative = 'another' WHERE id % 100 = 0")
        durations["restore, 1 % differs"].append(put_back(made.name))
        databases.execute("CREATE DATABASE {} TEMPLATE template0", f"{name}_again")
        try:
            durations["pg_restore"].append(
                run(binary("pg_restore"), "--no-owner", "-d", databases.address(f"{name}_again"), str(file))
            )
        finally:
            databases.drop(f"{name}_again")
    full, partial, pg_restore = (statistics.median(each) for each in durations.values())
    print(f"restore of all: {full:.1f} s; pg_restore: {pg_restore:.1f} s: {pg_restore / full:.1f} x as fast")
    print(f"restore where 1 % differs: {partial:.1f} s: {full / partial:.1f} x as fast as of all", flush=True)


def levels(name: str) -> None:
    from core.access.actors import SYSTEM
    from rollout.choices import RunKind
    from rollout.recovery import operations

    for level in (RunKind.EMERGENCY, RunKind.STANDARD):
        # Standard proves that nothing else changed, and writers respect the parts that it switched off.
        runs, client = [], Client(writes=level is RunKind.EMERGENCY)
        with client:
            for _ in range(ROUNDS):
                runs.append(operations.execute_run(operations.roll_back(level, actor=SYSTEM, reason="bench")))
                runs.append(operations.execute_run(operations.undo(actor=SYSTEM)))
        assert all(each.outcome == "done" for each in runs)
        back, undone = runs[::2], runs[1::2]
        steps: dict[str, list[float]] = {}
        for each in back:
            for step in each.steps.order_by("pk"):
                steps.setdefault(step.name, []).append(step.seconds or 0.0)
        parts = ", ".join(f"{step} {statistics.median(seconds):.2f}" for step, seconds in steps.items())
        total = statistics.median(each.actual_seconds or 0 for each in back)
        undo = statistics.median(each.actual_seconds or 0 for each in undone)
        print(f"{level.value}: {total:.1f} s, promised {back[0].promised_seconds} s ({parts}); undo {undo:.1f} s")
        print(
            f"  at the same time {client.requests} reads and writes of clients, "
            f"{len(client.failed)} errors {client.failed[:3]}"
        )


class Client:
    """Threads that read and write until the block ends."""

    def __init__(self, writes: bool) -> None:
        self._writes = writes
        self.requests, self.failed, self._is_over = 0, list[str](), threading.Event()

    def __enter__(self) -> None:
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        from django.db import Error, connection

        from caching.models import CacheEntry
        from providers.models import ProviderState

        while not self._is_over.wait(0.005):
            try:
                CacheEntry.objects.filter(cache_key="player:nba:player-7:v1").first()
                if self._writes:
                    ProviderState.objects.filter(provider="stub", sport="NBA").update(last_prop_count=7)
            except Error as error:
                self.failed.append(str(error))
            self.requests += 2 if self._writes else 1
        connection.close()


def djangos(name: str) -> None:
    """Measure dumpdata and loaddata, with fewer entries because they are slow."""
    from django.conf import settings
    from django.core.management import call_command

    from core.access.actors import SYSTEM
    from rollout.recovery.snapshots import operations as snapshots

    execute(f"DELETE FROM portfolio_rationales WHERE id > (SELECT min(id) + {DJANGOS} FROM portfolio_rationales)")
    execute("VACUUM ANALYZE portfolio_rationales")
    ours = snapshots.create(actor=SYSTEM)
    file = str(settings.SNAPSHOT_DIR / "data.json")
    dumped = timed(lambda: call_command("dumpdata", "caching.CacheEntry", output=file, verbosity=0))
    execute("DELETE FROM portfolio_rationales")
    loaded = timed(lambda: call_command("loaddata", file, verbosity=0))
    execute("DELETE FROM portfolio_rationales")
    restored = put_back(ours.name)
    print(
        f"{DJANGOS:,} entries: snapshot {ours.seconds:.1f} s, dumpdata {dumped:.1f} s ({dumped / ours.seconds:.0f} x)"
    )
    print(
        f"{DJANGOS:,} entries: restore {restored:.1f} s, loaddata {loaded:.1f} s ({loaded / restored:.0f} x)",
        flush=True,
    )


PARTS = {"snapshot": snapshot, "restore": restore, "levels": levels, "djangos": djangos}


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(PARTS)
    with installation(ENTRIES) as database_name:
        for part in chosen:
            PARTS[part](database_name)
