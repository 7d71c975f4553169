"""Measure one tick of the control loop with 1, 100 and 500 rollouts in PARTIAL_ACTIVE.

Each rollout has a closed slot and an open one with calls of both arms in 20 latency buckets at each tick, and a record
of the slots before.

make bench, or .venv/bin/python bench/tick.py [1|100|500]
"""

import cProfile
import logging
import pstats
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database

ROLLOUTS = (1, 100, 500)
TICKS, BUCKETS = 7, 20
PARTS = {  # where the time of a tick goes: by module and function
    "reading Redis": ("slots.py", "read_visits"),
    "adding closed slots": ("measure.py", "with_closed_slots"),
    "judging": ("judging.py", "judge"),
    "storing": ("records.py", "store"),
    "measuring, with the first two": ("measure.py", "measure"),
    "the tick": ("loop.py", "tick"),
}


def fill(rollouts: int) -> None:
    from django.db import connection
    from django.db.models import F
    from django.db.models.functions import Now

    from core.access.actors import SYSTEM
    from rollout.models import Rollout
    from rollout.operations.policies import create_rollout

    for number in range(Rollout.objects.count(), rollouts):
        create_rollout(f"bench-{number}", actor=SYSTEM)
    Rollout.objects.update(
        stage="PARTIAL_ACTIVE", run_state="running", percent=25, stage_entered_at=Now(), percent_entered_at=Now()
    )
    Rollout.objects.update(stage_epoch=F("epoch"), settled_epoch=F("epoch"), pace=10)  # so that none moves
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def observe() -> None:
    """Count calls of both arms of each rollout in the present slot."""
    from rollout.decisions.stages import Arm
    from rollout.gate.counters import Counters
    from rollout.gate.counting.observation import Observation, StageVisit
    from rollout.models import Rollout

    rows = {row.name: StageVisit(row.visit.hex, row.attempt.hex, step=25) for row in Rollout.objects.all()}
    counters = Counters(rows.get)
    for name, visit in rows.items():
        for number in range(4 * BUCKETS):
            arm = Arm.CANDIDATE if number % 4 == 0 else Arm.CONTROL
            ms = 20 * 1.11 ** (number // 4)
            counters.observe(Observation(name, visit, arm, ms, is_error=number == 1, is_hit=True, key=f"key-{number}"))
    while not counters.flush():  # a busy machine exceeds the time-out of Redis now and then
        continue


def measure(rollouts: int) -> None:
    from rollout.control import loop
    from rollout.models import Rollout, VisitEvidence
    from tests.rollout.counted import close_slots

    fill(rollouts)
    seconds, cpu_seconds, profile = [], [], cProfile.Profile()
    for number in range(TICKS + 1):
        observe()
        close_slots()
        observe()
        if number == TICKS:  # the last one only shows where the time goes
            profile.enable()
        start, cpu_start = time.perf_counter(), time.process_time()
        assert loop.tick() == 0
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        profile.disable()
    assert Rollout.objects.filter(stage="PARTIAL_ACTIVE").count() == rollouts
    assert min(len(row.decoded().judgments) for row in VisitEvidence.objects.all()) >= 5
    took, cpu = (median(each[1:TICKS]) * 1000 for each in (seconds, cpu_seconds))
    print(f"{rollouts} rollouts: a tick takes {took:.0f} ms, of it {cpu:.0f} ms of processor time of the worker")
    times = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    spent = {(Path(file).name, name): row[3] for (file, _, name), row in times.items()}
    whole = spent[PARTS["the tick"]]
    print(
        "  of it: " + ", ".join(f"{part} {spent.get(place, 0) / whole:.0%}" for part, place in PARTS.items()),
        flush=True,
    )


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    with database():
        for wanted in [int(each) for each in sys.argv[1:]] or ROLLOUTS:
            measure(wanted)
