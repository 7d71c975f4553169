"""Measure how late polls start: 28 slots due at the same moment, one worker, the stub feed on the same machine.

    .venv/bin/python bench/lateness.py

Lateness is from the slot's deadline, by the database's clock, to the start of its first HTTP request.
"""

import os
import statistics
import sys
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import database, fleet, keys, percentile, processes, worker
from config.dev.checkout import free_stub_port

PORT = free_stub_port(but=0)
PROVIDERS, ROUNDS = 7, 5
AHEAD = timedelta(seconds=6)
os.environ |= keys(PROVIDERS) | {"STUB_FEED_URL": f"http://127.0.0.1:{PORT}"}


def one_round() -> list[float]:
    """Return the milliseconds from the deadline to the first request of each slot."""
    from django.db.models import Min
    from django.db.models.functions import Now

    from config.celery import app
    from providers.models import FetchAttempt, PollSlot

    newest = FetchAttempt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    PollSlot.objects.update(next_poll_at=Now() + AHEAD)
    deadline = PollSlot.objects.values_list("next_poll_at", flat=True)[0]
    assert deadline is not None
    app.send_task("providers.poll_due", queue="polls")
    while PollSlot.objects.filter(next_poll_at__lte=deadline).exists():
        time.sleep(0.2)
    firsts = FetchAttempt.objects.filter(pk__gt=newest).values("slot").annotate(first=Min("started_at"))
    return [(row["first"] - deadline).total_seconds() * 1000 for row in firsts]


def main() -> None:
    with database() as name:
        from core.access.actors import SYSTEM
        from providers.fleet.backfill import backfill

        backfill(fleet(PROVIDERS), actor=SYSTEM)
        with processes(name, worker("one"), ["manage.py", "stub_feed", "--port", str(PORT)]):
            late = [value for _ in range(ROUNDS) for value in one_round()]
    assert len(late) == 28 * ROUNDS, f"{len(late)} polls"
    middle, p99 = statistics.median(late), percentile(late, 0.99)
    print(f"28 slots at once, {ROUNDS} rounds: median {middle:.0f} ms, p99 {p99:.0f} ms, maximum {max(late):.0f} ms")


if __name__ == "__main__":
    main()
