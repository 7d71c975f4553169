"""How late polls start: 28 slots due at the same moment, one worker, the stub feed beside it.

    .venv/bin/python bench/lateness.py

Lateness is from the slot's deadline, by the database's clock, to the start of its first HTTP request.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tests.environment  # noqa: E402, F401 - its environment and servers
from config.development import STUB_PORTS, free_port  # noqa: E402

NAMES = [f"bench{number}" for number in range(7)]
KEYS = {f"{name.upper()}_API_KEY": "a key each, so that each is an account of its own" for name in NAMES}
STUB = f"http://127.0.0.1:{free_port(STUB_PORTS, but=0)}"
os.environ |= KEYS | {"STUB_FEED_URL": STUB, "DJANGO_SETTINGS_MODULE": "config.settings"}

import django  # noqa: E402

django.setup()

from django.db import connection  # noqa: E402
from django.db.models import Min  # noqa: E402
from django.db.models.functions import Now  # noqa: E402

from providers.backfill import CATALOGUE, backfill  # noqa: E402
from providers.models import FetchAttempt, PollSlot  # noqa: E402
from rollout.actors import SYSTEM  # noqa: E402
from tests import databases  # noqa: E402

ROUNDS = 5
AHEAD = timedelta(seconds=6)


def fleet() -> bytes:
    sports = ["MLB", "NBA", "NFL", "NHL"]
    providers = [{"name": name, "adapter": "odds_api", "credential_env": f"{name.upper()}_API_KEY"} for name in NAMES]
    states = [{"provider_name": name, "sport": sport, "is_enabled": True} for name in NAMES for sport in sports]
    return json.dumps(
        {"sports": json.loads(CATALOGUE.read_bytes())["sports"], "providers": providers, "states": states}
    ).encode()


@contextmanager
def processes(name: str) -> Iterator[None]:
    database = connection.settings_dict
    environment = os.environ | {
        "DATABASE_URL": f"postgres://{database['USER']}@{quote(database['HOST'], safe='')}/{name}",
        "REDIS_URL": django.conf.settings.REDIS_URL,
    }
    worker = ["-m", "celery", "-A", "config.celery", "worker", "--pool", "threads", "--concurrency", "8", "-Q", "polls"]
    started = [
        subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=-3, stderr=-3)
        for command in (worker, ["manage.py", "stub_feed", "--port", STUB.rsplit(":", 1)[1]])
    ]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
            process.wait()


def one_round() -> list[float]:
    """Milliseconds from deadline to request, of each slot."""
    from config.celery import app

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
    name = databases.clone()
    connection.close()
    try:
        connection.settings_dict["NAME"], before = name, connection.settings_dict["NAME"]
        backfill(fleet(), actor=SYSTEM)
        with processes(name):
            late = sorted(value for _ in range(ROUNDS) for value in one_round())
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
        databases.drop(name)
    assert len(late) == 28 * ROUNDS, f"{len(late)} polls"
    p99 = late[int(len(late) * 0.99)]
    figures = f"median {statistics.median(late):.0f} ms, p99 {p99:.0f} ms, most {late[-1]:.0f} ms"
    print(f"28 slots at once, {ROUNDS} rounds: {figures}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
