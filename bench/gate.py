"""Measure one decision against other flag libraries, a million counted calls, and each arm under load.

make bench, or .venv/bin/python bench/gate.py [decide|observe|bear]
"""

import asyncio
import logging
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database, season, site
from bench._peer_flags import NAME, PEERS, SHARE

KEYS, ROUNDS, CALLS, ALONE = 1000, 15, 1_000_000, 400  # ALONE: calls after which nothing is added up yet
SECONDS, LIMIT_MS, STEP = 6.0, 1000.0, 1.25
FIRST_RATE = {"DISABLED": 20.0, "FULL_ACTIVE": 100.0}


def decide() -> None:
    from django.conf import settings

    settings.INSTALLED_APPS += ["waffle"]
    logging.disable(logging.CRITICAL)
    with database():
        from rollout.gate import Gate, heartbeat
        from rollout.gate.runtime import GateRuntime
        from rollout.models import Rollout

        runtime = GateRuntime()
        flag = Gate(NAME, lambda: runtime)
        Rollout.objects.update(stage="PARTIAL_ACTIVE", run_state="running", percent=SHARE)
        heartbeat.beat()
        runtime.states.refresh()

        def nothing() -> None:
            return None

        def run(key: str) -> None:
            flag.run(key, control=nothing, candidate=nothing)

        calls: dict[str, Callable[[str], Any]] = {"decide": flag.decide, "run": run}
        calls |= {name: make() for name, make in PEERS.items()}
        durations_us: dict[str, list[float]] = {name: [] for name in calls}
        keys = [f"user-{number}" for number in range(KEYS)]
        for _ in range(ROUNDS):
            runtime.states.refresh()  # the thread of a real process does this; the state is valid for 30 s
            for name, call in calls.items():
                start = time.perf_counter()
                for key in keys:
                    call(key)
                durations_us[name].append((time.perf_counter() - start) / KEYS * 1e6)
                runtime.flush()
        median = {name: statistics.median(values) for name, values in durations_us.items()}
        for name, us in median.items():
            print(f"{name}: {us:.2f} us, {us / median['decide']:.1f} x a decision")


def observe() -> None:
    """Count a million calls in a row, with the adding up and the sending, and read them back from Redis."""
    with database():
        from rollout.decisions.counts import Counts
        from rollout.decisions.stages import Arm
        from rollout.gate import Gate, heartbeat
        from rollout.gate.runtime import GateRuntime
        from rollout.gate.slots import VisitQuery, read_visits
        from rollout.models import Rollout

        runtime = GateRuntime()
        flag = Gate(NAME, lambda: runtime)
        keys = [f"user-{number}" for number in range(KEYS)]
        for name, has_key in (("without a targeting key", False), ("with one of 1,000 targeting keys", True)):
            visit, attempt = uuid.uuid4(), uuid.uuid4()
            alone_us = []
            Rollout.objects.update(
                stage="PARTIAL_ACTIVE", run_state="running", percent=SHARE, visit=visit, attempt=attempt
            )
            heartbeat.beat()
            runtime.states.refresh()
            for _ in range(ROUNDS):
                start = time.perf_counter()
                for targeting_key in keys[:ALONE]:
                    flag.observe(Arm.CONTROL, 1.0, key=targeting_key if has_key else None, is_hit=True)
                alone_us.append((time.perf_counter() - start) / ALONE * 1e6)
                runtime.flush()
            start = time.perf_counter()
            for number in range(CALLS):
                if number % (CALLS // ROUNDS) == 0:
                    heartbeat.beat()
                    runtime.states.refresh()
                    runtime.flush()
                flag.observe(
                    Arm.CANDIDATE, 1.0 + number % 97, key=keys[number % KEYS] if has_key else None, is_hit=True
                )
            runtime.flush()
            seconds = time.perf_counter() - start
            [read] = read_visits([VisitQuery(visit.hex, attempt.hex, -1)])
            counts = sum((arms.candidate for steps in read.slots.values() for arms in steps.values()), Counts())
            assert counts.requests == counts.hits == counts.timed == CALLS, counts
            assert counts.keys == (KEYS - ALONE if has_key else 0), counts  # control had the others first
            print(
                f"observe {name}: a call {statistics.median(alone_us):.2f} us; with the adding up and the sending "
                f"{seconds / CALLS * 1e6:.2f} us, mean of {CALLS:,} calls, all of which are in Redis"
            )


def bear() -> None:
    with database() as name:
        from caching.operations import find_targets
        from caching.serving.load_driver import LoadDriver
        from rollout.gate import heartbeat
        from rollout.models import GuardPolicy, Rollout

        season()
        GuardPolicy.objects.update(is_on=False)  # so that the rollout stays in its stage
        with site(name) as url:
            paths = (target.about.split(":") for target in find_targets())
            addresses = [f"{url}/api/v1/derived/{kind}/{sport.lower()}/{subject}" for kind, sport, subject in paths]

            def driven(rate: float, seconds: float) -> tuple[float, int, dict[str, int]]:
                heartbeat.beat()
                load = asyncio.run(LoadDriver(addresses, "let-me-in", rate, seconds, KEYS).run(lambda answered: None))
                return load.percentile_ms(95), load.failed, dict(load.served_from)

            while driven(5, 1)[1]:
                time.sleep(0.5)
            for stage, first in FIRST_RATE.items():
                Rollout.objects.update(stage=stage, run_state="running", percent=100)
                time.sleep(2)
                best, rate = (0.0, 0.0), first
                while True:
                    p95_ms, failed, served = driven(rate, SECONDS)
                    print(f"{stage} at {rate:.0f}/s: p95 {p95_ms:.0f} ms, {failed} failed, {served}", flush=True)
                    if failed or p95_ms > LIMIT_MS:
                        break
                    best, rate = (rate, p95_ms), rate * STEP
                print(f"{stage}: takes {best[0]:.0f} requests per second at p95 {best[1]:.0f} ms")


PARTS = {"decide": decide, "observe": observe, "bear": bear}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
