"""Run many entries in another scheduler, and write to standard output how late each run was, in milliseconds.

python bench/_peer_schedulers.py apscheduler|celery-beat SECONDS COUNT
"""

import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from bench._ground import database


def apscheduler(seconds: int, intervals: list[int]) -> list[float]:
    """Run jobs in memory, in this process: the best case. Lateness is from the scheduled time to the submission."""
    from apscheduler.events import EVENT_JOB_SUBMITTED
    from apscheduler.schedulers.background import BackgroundScheduler

    late_ms: list[float] = []

    def note(event: Any) -> None:
        late_ms.extend((time.time() - due.timestamp()) * 1000 for due in event.scheduled_run_times)

    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})
    scheduler.add_listener(note, EVENT_JOB_SUBMITTED)
    start = datetime.now(UTC) + timedelta(seconds=10)
    for interval in intervals:
        first = start + timedelta(seconds=random.uniform(0, interval))  # noqa: S311
        scheduler.add_job(int, "interval", seconds=interval, next_run_time=first)
    scheduler.start()
    time.sleep(seconds + 10)
    scheduler.shutdown(wait=False)
    return late_ms


def celery_beat(seconds: int, intervals: list[int]) -> list[float]:
    """Run the database scheduler. Lateness is from an interval after an entry's last run to the sending of its task."""
    with database():
        from celery.signals import before_task_publish
        from django_celery_beat.models import IntervalSchedule, PeriodicTask
        from django_celery_beat.schedulers import DatabaseScheduler

        from config.celery import app

        every = {
            interval: IntervalSchedule.objects.create(every=interval, period="seconds") for interval in set(intervals)
        }
        now = datetime.now(UTC)
        last = {
            f"bench {number}": now - timedelta(seconds=random.uniform(0, interval))  # noqa: S311
            for number, interval in enumerate(intervals)
        }
        PeriodicTask.objects.bulk_create(
            PeriodicTask(name=name, task="bench", interval=every[interval], last_run_at=last[name], queue="unused")
            for name, interval in zip(last, intervals, strict=True)
        )
        interval_of, late_ms = dict(zip(last, intervals, strict=True)), []

        @before_task_publish.connect(weak=False)
        def note(headers: dict[str, Any], **kwargs: Any) -> None:
            name = headers.get("periodic_task_name")
            if name in last:
                sent = datetime.now(UTC)
                late_ms.append(((sent - last[name]).total_seconds() - interval_of[name]) * 1000)
                last[name] = sent

        scheduler = DatabaseScheduler(app=app, lazy=False, max_interval=5)
        ends = time.time() + seconds
        while time.time() < ends:
            wait = scheduler.tick()
            if wait and wait > 0:
                time.sleep(min(wait, max(0, ends - time.time())))
        return late_ms


if __name__ == "__main__":
    name, seconds, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    intervals = [30 + number * 7 % 271 for number in range(count)]
    lateness_ms = {"apscheduler": apscheduler, "celery-beat": celery_beat}[name](seconds, intervals)
    json.dump(lateness_ms, sys.stdout)
