"""From the sixth error in one process to the last candidate served in another: 100 trials, four processes.

make bench, or .venv/bin/python bench/trip.py
"""

import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database, percentile

TRIALS, PROCESSES, ERRORS = 100, 4, 6
LOOK_SECONDS, AT_MOST_SECONDS = 0.0002, 5.0


def serve(name: str, prefix: str, line: Connection) -> None:
    """A process with a gate. Told `see` it waits for the candidate; `fail`: it counts six errors, and when the last one
    came; `watch`: it decides again and again until control is served, and says when the candidate was served last.
    """
    import django

    import bench._ground  # noqa: F401 - the environment

    django.setup()
    from django.conf import settings
    from django.db import connection

    import config.celery  # noqa: F401 - a trip asks for a tick

    settings.REDIS_PREFIX = prefix
    connection.settings_dict["NAME"] = name
    from rollout.gate import gate
    from rollout.stages import Arm

    flag = gate("derived-data")
    while (told := line.recv()) != "end":
        deadline, last = time.monotonic() + AT_MOST_SECONDS, 0.0
        if told == "fail":
            for _ in range(ERRORS):
                last = time.monotonic()
                flag.observe(Arm.CANDIDATE, 1.0, is_error=True)
        wanted = Arm.CANDIDATE if told == "see" else Arm.CONTROL
        while told != "fail" and flag.decide("anybody") is not wanted and time.monotonic() < deadline:
            last = time.monotonic()
            time.sleep(LOOK_SECONDS)
        line.send(last)


def trial(lines: list[Connection]) -> float:
    from django.db.models import F

    from rollout import heartbeat
    from rollout.models import Rollout
    from rollout.redis import client, key

    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100, epoch=F("epoch") + 1)
    Rollout.objects.update(stage_epoch=F("epoch"), settled_epoch=F("epoch"))
    heartbeat.beat()
    client().publish(key("rollouts"), "derived-data")
    ask(lines, "see")
    for line in lines[1:]:
        line.send("watch")
    time.sleep(0.05)
    [sixth] = ask(lines[:1], "fail")
    return float(max(line.recv() for line in lines[1:])) - sixth


def ask(lines: list[Connection], what: str) -> list[float]:
    for line in lines:
        line.send(what)
    return [line.recv() for line in lines]


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    with database() as name:
        from django.conf import settings

        pairs = [spawn.Pipe() for _ in range(PROCESSES)]
        started = [spawn.Process(target=serve, args=(name, settings.REDIS_PREFIX, theirs)) for _, theirs in pairs]
        for process in started:
            process.start()
        lines = [ours for ours, _ in pairs]
        took = [1000 * trial(lines) for _ in range(TRIALS)]
        for line in lines:
            line.send("end")
        for process in started:
            process.join()
    told = ", ".join(f"{label} {percentile(took, share):.1f} ms" for label, share in (("p50", 0.5), ("p99", 0.99)))
    print(f"{TRIALS} trials, {PROCESSES} processes: {told}, most {max(took):.1f} ms")


if __name__ == "__main__":
    main()
