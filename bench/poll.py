"""Measure scheduling 5,000 slots against two other schedulers, the fetch loop against httpx, and decoding against json.

    make bench, or .venv/bin/python bench/poll.py [schedule|fetch|decode]

The lateness of a slot is from its deadline, by the database's clock, to its HTTP request. The peers only start jobs:
their lateness is from the scheduled time to the start.
"""

import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import ROOT, database, fleet, keys, percentile, processes, worker
from config.dev.checkout import free_stub_port

PORT = free_stub_port(but=0)
SECONDS = int(os.environ.get("BENCH_SECONDS", "180"))
SLOTS = int(os.environ.get("BENCH_SLOTS", "5000"))
INTERVALS = [30 + number * 7 % 271 for number in range(SLOTS)]  # 30 to 300 s
os.environ |= keys(SLOTS // 4) | {"STUB_FEED_URL": f"http://127.0.0.1:{PORT}"}
UPSTREAM = ["bench/_upstream.py", str(PORT)]
ROUNDS = 5


def schedule() -> None:
    with database() as name:
        from core.access.actors import SYSTEM
        from providers.fleet.backfill import backfill

        backfill(fleet(SLOTS // 4, sorted(set(INTERVALS))), actor=SYSTEM)
        workers = worker("one"), worker("two")
        beat = ["-m", "celery", "-A", "config.celery", "beat", "--pidfile="]
        spread_out()
        with processes(name, *workers, [*UPSTREAM, "2"], beat) as pids:
            time.sleep(20)  # until all have started
            begin, used = time.time(), [cpu_seconds(pid) for pid in pids]
            time.sleep(SECONDS)
            end, used = time.time(), [cpu_seconds(pid) - before for pid, before in zip(pids, used, strict=True)]
        report(begin, end, used)
    for peer in ("apscheduler", "celery-beat"):
        command = [sys.executable, "-m", "bench._peer_schedulers", peer, str(SECONDS), str(SLOTS)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        late = json.loads(done.stdout)
        expected = sum(SECONDS / (30 + number * 7 % 271) for number in range(SLOTS))
        print(f"{peer}: {len(late)} of about {expected:.0f} runs; {lateness(late)}")


def spread_out() -> None:
    """Set each slot's next deadline as if it had been polled before: on its own grid, 15 s from now at the earliest."""
    from datetime import timedelta

    from django.utils import timezone

    from providers.models import PollSlot
    from providers.polling.schedule import grid_share, next_on_grid

    slots, start = list(PollSlot.objects.all()), timezone.now() + timedelta(seconds=15)
    for slot in slots:
        name = f"{slot.adapter} {slot.base_url} {slot.credential_env} {slot.sport_id}"
        before = start - timedelta(seconds=slot.interval_seconds)
        slot.next_poll_at = next_on_grid(before, start, slot.interval_seconds, grid_share(name))
    PollSlot.objects.bulk_update(slots, ["next_poll_at"], batch_size=1000)


def cpu_seconds(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def report(begin: float, end: float, used: list[float]) -> None:
    from providers.models import FetchAttempt, PollSlot

    interval = dict(PollSlot.objects.values_list("pk", "interval_seconds"))
    deadlines: dict[int, list[float]] = defaultdict(list)
    late = []
    for slot, started, late_ms, outcome in FetchAttempt.objects.order_by("started_at").values_list(
        "slot", "started_at", "late_ms", "outcome"
    ):
        deadline = started.timestamp() - late_ms / 1000
        if begin <= deadline < end:
            deadlines[slot].append(deadline)
            late.append(late_ms)
            assert outcome == "ok", outcome
    gaps = [(later - sooner) / interval[slot] for slot, times in deadlines.items() for sooner, later in pairwise(times)]
    twice, skipped = sum(gap < 0.99 for gap in gaps), sum(gap > 1.01 for gap in gaps)
    due = [slot for slot, seconds in interval.items() if seconds < end - begin]
    skipped += sum(not deadlines[slot] for slot in due)
    print(f"{len(interval)} slots, {end - begin:.0f} s, 2 workers: {len(late)} polls; {lateness(late)}")
    print(f"polled twice in an interval: {twice}; skipped: {skipped}; CPU seconds: {[round(u) for u in used]}")


def lateness(late: list[float]) -> str:
    return f"late: median {statistics.median(late):.0f} ms, p99 {percentile(late, 0.99):.0f} ms, max {max(late):.0f} ms"


class NoLimit:
    async def take(self, longest_seconds: float) -> float:
        return 0.0

    async def pause(self, seconds: float) -> None: ...


REQUESTS, AT_ONCE = 4000, 32


async def requests_per_cpu_second(call: Any) -> float:
    """Return the requests per second of this process's CPU time, which excludes the server's."""
    left = iter(range(REQUESTS))

    async def client() -> None:
        for _ in left:
            await call()

    before = time.process_time()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return REQUESTS / (time.process_time() - before)


async def fetch_loop(is_limited: bool) -> float:
    import aiohttp

    from core.redis import asynchronous_client, key
    from providers.adapters.odds_api import OddsEvent
    from providers.upstream.caller import Caller
    from providers.upstream.rate_limit import TokenBucket

    redis = asynchronous_client()
    limit = TokenBucket(redis, key("bucket:bench"), 10_000_000) if is_limited else NoLimit()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        loop = asyncio.get_running_loop()

        async def call() -> None:
            caller = Caller(session, os.environ["STUB_FEED_URL"], "", loop.time() + 60, limit)
            await caller.get("/odds", {"regions": "us"}, list[OddsEvent])

        per_second = await requests_per_cpu_second(call)
    await redis.aclose()
    return per_second


async def httpx_client() -> float:
    import httpx

    logging.getLogger("httpx").setLevel(logging.WARNING)
    async with httpx.AsyncClient() as client:

        async def call() -> None:
            answer = await client.get(f"{os.environ['STUB_FEED_URL']}/odds", params={"regions": "us"})
            answer.json()

        return await requests_per_cpu_second(call)


def fetch() -> None:
    with database() as name, processes(name, [*UPSTREAM, "2"]):
        time.sleep(3)
        figures: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            figures["fetch loop"].append(asyncio.run(fetch_loop(is_limited=False)))
            figures["fetch loop with the account's rate limit"].append(asyncio.run(fetch_loop(is_limited=True)))
            figures["httpx.AsyncClient"].append(asyncio.run(httpx_client()))
    peer = statistics.median(figures["httpx.AsyncClient"])
    for what, rates in figures.items():
        figure = statistics.median(rates)
        print(f"{what}: {figure:.0f} requests per CPU second, {figure / peer:.1f} x httpx")


def decode() -> None:
    import msgspec

    from bench._upstream import answer
    from providers.adapters.odds_api import OddsEvent

    body = answer(100)
    typed_decoder = msgspec.json.Decoder(list[OddsEvent])
    ways: dict[str, Callable[[bytes], Any]] = {"msgspec, typed": typed_decoder.decode, "json.loads": json.loads}
    durations_us: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS * 20):
        for what, way in ways.items():
            start = time.perf_counter()
            way(body)
            durations_us[what].append((time.perf_counter() - start) * 1e6)
    typed, plain = (statistics.median(durations_us[what]) for what in ways)
    print(f"decode {len(body) / 1024:.0f} KiB: typed {typed:.0f} us, json {plain:.0f} us, {plain / typed:.1f} x faster")


if __name__ == "__main__":
    for part in sys.argv[1:] or ["schedule", "fetch", "decode"]:
        {"schedule": schedule, "fetch": fetch, "decode": decode}[part]()
