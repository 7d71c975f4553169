"""One decision beside what else decides flags, a run around two empty functions, and what each arm of the API bears.

make bench, or .venv/bin/python bench/gate.py [decide|bear]
"""

import asyncio
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database, season, site
from bench._peer_flags import NAME, PEERS, SHARE

KEYS, ROUNDS = 1000, 15
SECONDS, LIMIT_MS, STEP = 6.0, 1000.0, 1.25
FIRST_RATE = {"DISABLED": 20.0, "FULL_ACTIVE": 100.0}


def decide() -> None:
    from django.conf import settings

    settings.INSTALLED_APPS += ["waffle"]
    logging.disable(logging.CRITICAL)
    with database():
        from rollout import heartbeat
        from rollout.gate import Gate
        from rollout.models import Rollout
        from rollout.process import Process
        from rollout.stages import Arm

        own = Process()
        flag = Gate(NAME, own.views, own.metrics, own.shadows, own.in_flight)
        Rollout.objects.update(stage="PARTIAL_ACTIVE", run_state="running", percent=SHARE)
        heartbeat.beat()
        own.views.check()

        def nothing() -> None:
            return None

        def run(key: str) -> None:
            flag.run(key, control=nothing, candidate=nothing)

        def observe(key: str) -> None:
            flag.observe(Arm.CANDIDATE, 1.0, is_hit=True)

        asked: dict[str, Callable[[str], Any]] = {"decide": flag.decide, "run": run, "observe": observe}
        asked |= {name: make() for name, make in PEERS.items()}
        took: dict[str, list[float]] = {name: [] for name in asked}
        keys = [f"user-{number}" for number in range(KEYS)]
        for _ in range(ROUNDS):
            own.views.check()  # as its thread does; the view is good for 30 s
            for name, ask in asked.items():
                start = time.perf_counter()
                for key in keys:
                    ask(key)
                took[name].append((time.perf_counter() - start) / KEYS * 1e6)
                own.flush()
        median = {name: statistics.median(values) for name, values in took.items()}
        for name, us in median.items():
            print(f"{name}: {us:.2f} us, {us / median['decide']:.1f} x a decision")


def bear() -> None:
    with database() as name:
        from caching.drive import Drive
        from caching.operations import targets
        from rollout import heartbeat
        from rollout.models import GuardPolicy, Rollout

        season()
        GuardPolicy.objects.update(is_on=False)  # it is to stay where it is
        with site(name) as url:
            paths = (target.about.split(":") for target in targets())
            addresses = [f"{url}/api/v1/derived/{kind}/{sport.lower()}/{subject}" for kind, sport, subject in paths]

            def driven(rate: float, seconds: float) -> tuple[float, int, dict[str, int]]:
                heartbeat.beat()
                found = asyncio.run(Drive(addresses, "let-me-in", rate, seconds, KEYS).run(lambda done: None))
                return found.percentile_ms(95), found.failed, dict(found.served_from)

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
                print(f"{stage}: bears {best[0]:.0f} requests a second at p95 {best[1]:.0f} ms")


PARTS = {"decide": decide, "bear": bear}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
