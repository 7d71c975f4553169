"""Measure the time from the sixth error in one process to the last candidate served in another.

There are 100 trials with four processes, and 100 more in which every process of PostgreSQL is stopped.

make bench, or .venv/bin/python bench/trip.py
"""

import multiprocessing
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database, percentile

TRIALS, PROCESSES, ERRORS = 100, 4, 6
LOOK_SECONDS, AT_MOST_SECONDS = 0.0002, 20.0


def serve(name: str, prefix: str, pipe_end: Connection) -> None:
    """Follow the orders on `pipe_end` with a gate, and answer each with a monotonic time in seconds.

    see: wait until the candidate is served. fail: count six errors, and send the time of the last one. watch: decide
    repeatedly until control is served, and send the time of the last decision for the candidate. end: return.
    """
    import django

    import bench._ground  # noqa: F401 - sets the environment

    django.setup()
    from django.conf import settings
    from django.db import connection

    import config.celery  # noqa: F401 - a trip asks for a tick

    settings.REDIS_PREFIX = prefix
    connection.settings_dict["NAME"] = name
    from rollout.decisions.stages import Arm
    from rollout.gate import gate

    flag = gate("derived-data")
    while (order := pipe_end.recv()) != "end":
        deadline, last = time.monotonic() + AT_MOST_SECONDS, 0.0
        if order == "fail":
            for _ in range(ERRORS):
                last = time.monotonic()
                flag.observe(Arm.CANDIDATE, 1.0, is_error=True)
        wanted = Arm.CANDIDATE if order == "see" else Arm.CONTROL
        while order != "fail" and flag.decide("account-7") is not wanted and time.monotonic() < deadline:
            last = time.monotonic()
            time.sleep(LOOK_SECONDS)
        pipe_end.send(last)


@contextmanager
def stopped_postgresql() -> Iterator[None]:
    """Stop the processes of PostgreSQL while the block runs: they keep their connections, and answer nothing."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [session] = cursor.fetchone()
    postmaster = Path(f"/proc/{session}/stat").read_text().rpartition(")")[2].split()[1]  # the session's parent
    processes = [postmaster, *Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]
    try:
        for process in processes:
            os.kill(int(process), signal.SIGSTOP)
        yield
    finally:
        for process in reversed(processes):
            os.kill(int(process), signal.SIGCONT)


def trial(pipe_ends: list[Connection], *, is_postgresql_stopped: bool) -> float:
    """Return the seconds from the sixth error to the last candidate in another process."""
    from django.db.models import F

    from core.redis import client, key
    from rollout.gate import heartbeat
    from rollout.models import Rollout

    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100, epoch=F("epoch") + 1)
    Rollout.objects.update(visit=uuid.uuid4(), attempt=uuid.uuid4())
    Rollout.objects.update(stage_epoch=F("epoch"), settled_epoch=F("epoch"))
    heartbeat.beat()
    client().publish(key("rollouts"), "derived-data")
    send(pipe_ends, "see")
    for pipe_end in pipe_ends[1:]:
        pipe_end.send("watch")
    time.sleep(0.05)
    with stopped_postgresql() if is_postgresql_stopped else nullcontext():
        [sixth] = send(pipe_ends[:1], "fail")
        last = [pipe_end.recv() for pipe_end in pipe_ends[1:]]
    assert all(last), "a process did not serve the candidate at first"
    return float(max(last)) - sixth


def send(pipe_ends: list[Connection], order: str) -> list[float]:
    """Send an order to each process, and return their answers."""
    for pipe_end in pipe_ends:
        pipe_end.send(order)
    return [pipe_end.recv() for pipe_end in pipe_ends]


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    with database() as name:
        from django.conf import settings

        pipes = [spawn.Pipe() for _ in range(PROCESSES)]
        started = [
            spawn.Process(target=serve, args=(name, settings.REDIS_PREFIX, child_end), daemon=True)
            for _, child_end in pipes
        ]
        for process in started:
            process.start()
        pipe_ends = [own_end for own_end, _ in pipes]
        for is_stopped in (False, True):
            durations_ms = [1000 * trial(pipe_ends, is_postgresql_stopped=is_stopped) for _ in range(TRIALS)]
            p50, p99 = percentile(durations_ms, 0.5), percentile(durations_ms, 0.99)
            figures = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max(durations_ms):.1f} ms"
            print(f"{TRIALS} trials, {PROCESSES} processes{', PostgreSQL stopped' if is_stopped else ''}: {figures}")
        for pipe_end in pipe_ends:
            pipe_end.send("end")
        for process in started:
            process.join()


if __name__ == "__main__":
    main()
