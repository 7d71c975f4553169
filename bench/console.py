"""Measure the console and the consumer API.

pages: server time and queries of the main pages, on a small installation and at 5,000 states and 1,000,000 entries.
load: a minute of load on the consumer API, against the smallest possible Django.

make bench, or .venv/bin/python bench/console.py [pages|load]
"""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._ground import GUNICORN_CONFIG, ROOT, database, fill_entries, fleet, free_port, processes, season

ROUNDS, STATES, ENTRIES = 7, 5_000, 1_000_000
SECONDS, TURNS, CONNECTIONS, WORKERS = 2.0, 5, 8, 4  # a minute in total: six cases take turns, five times


def main() -> None:
    wanted = sys.argv[1:] or ["pages", "load"]
    with database() as name:
        from django.conf import settings
        from django.contrib.auth.models import User

        settings.ALLOWED_HOSTS = ["testserver"]
        settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
        user = User.objects.create_superuser("bench")
        season()
        if "load" in wanted:
            under_load(name, user)
        if "pages" in wanted:
            small = pages(user)
            grow()
            for page, large in pages(user).items():
                figures = " and ".join(f"{ms:.0f} ms, {queries} queries" for ms, queries in (small[page], large))
                print(f"{page}: {figures}")


def grow() -> None:
    from django.db import connection

    from core.access.actors import SYSTEM
    from providers.fleet.backfill import backfill

    backfill(fleet(STATES // 4), actor=SYSTEM)
    fill_entries(ENTRIES, "-1 hour")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # or autovacuum would run during the measurement


def pages(user: Any) -> dict[str, tuple[float, int]]:
    """Return, for each page, the median milliseconds in the server and the number of queries."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client()
    client.force_login(user)
    figures = {}
    for name, address in addresses().items():
        client.get(address)
        taken = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            answer = client.get(address)
            taken.append(1000 * (time.perf_counter() - start))
            assert answer.status_code == 200, (address, answer)
        with CaptureQueriesContext(connection) as queries:
            client.get(address)
        figures[name] = statistics.median(taken), len(queries)
    return figures


def addresses() -> dict[str, str]:
    from caching.models import CacheEntry
    from providers.models import ProviderState
    from rollout.models import Rollout

    rollout = f"/admin/rollout/rollout/{Rollout.objects.get().pk}/change/"
    state = f"/admin/providers/providerstate/{ProviderState.objects.latest('pk').pk}"
    return {
        "home": "/admin/",
        "home, the part that reloads itself": "/admin/live/",
        "rollouts": "/admin/rollout/rollout/",
        "a rollout": rollout,
        "transitions": "/admin/rollout/transition/",
        "validation runs": "/admin/validation/validationrun/",
        "recovery runs": "/admin/rollout/recoveryrun/",
        "provider states": "/admin/providers/providerstate/",
        "a provider state": f"{state}/change/",
        "its history of edits": f"{state}/history/",
        "cache entries": "/admin/caching/cacheentry/",
        "a cache entry": f"/admin/caching/cacheentry/{CacheEntry.objects.latest('pk').pk}/change/",
        "edits": "/admin/pghistory/context/",
    }


def under_load(name: str, user: Any) -> None:
    from django.conf import settings
    from django.test import Client

    from rollout.models import Rollout

    Rollout.objects.update(stage="FULL_ACTIVE", run_state="running", percent=100, epoch=1)
    client = Client()
    client.force_login(user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    token, is_json = {"Authorization": "Bearer let-me-in"}, {"Content-Type": "application/json"}
    context = json.dumps({"context": {"targetingKey": "account-7"}})
    is_over = threading.Event()
    beating = threading.Thread(target=keep_beating, args=(is_over,))
    beating.start()
    try:
        with (
            served(name, "config.wsgi", *GUNICORN_CONFIG) as site,
            served(name, "bench._without_l1", *GUNICORN_CONFIG) as without_l1,
            served(name, "bench._minimal", "--config", "/dev/null", "-k", "gthread", "--threads", "8") as minimal,
        ):
            value = "/api/v1/derived/player/nba/lebron-james"
            flags = "/ofrep/v1/evaluate/flags"
            cases = {
                "a minimal Django view": case(f"{minimal}/"),
                "a derived value from L1": case(f"{site}{value}", token),
                "a derived value from L2": case(f"{without_l1}{value}", token),
                "OFREP, one flag": case(f"{site}{flags}/derived-data", token | is_json, "POST", context),
                "OFREP, all flags": case(f"{site}{flags}", token | is_json, "POST", context),
                "the admin's home page": case(f"{site}/admin/", {"Cookie": cookie}),
            }
            report(cases)
    finally:
        is_over.set()
        beating.join()


def keep_beating(is_over: threading.Event) -> None:
    from rollout.gate import heartbeat

    heartbeat.beat()
    while not is_over.wait(5):
        heartbeat.beat()


def case(address: str, headers: dict[str, str] | None = None, method: str = "GET", body: str = "") -> dict[str, Any]:
    request = {"address": address, "headers": headers or {}, "method": method, "body": body}
    return request | {"seconds": SECONDS, "connections": CONNECTIONS}


def report(cases: dict[str, dict[str, Any]]) -> None:
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for turn in range(TURNS + 1):
        for name, request in cases.items():
            figure = load(request)
            if turn > 0:  # the first turn warms up
                figures[name].append(figure)
    peer = statistics.median(each["per_second"] for each in figures["a minimal Django view"])
    for name, of_case in figures.items():
        middle = {key: statistics.median(one[key] for one in of_case) for key in of_case[0]}
        errors = sum(one["errors"] for one in of_case)
        print(
            f"{name}: {middle['per_second']:,.0f} requests/s ({middle['per_second'] / peer:.2f} of the minimal view), "
            f"p50 {middle['p50_ms']:.1f} ms, p99 {middle['p99_ms']:.1f} ms, errors {errors:.0f}"
        )


def load(request: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, str(ROOT / "bench" / "_load.py")]
    done = subprocess.run(command, input=json.dumps(request), stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


@contextmanager
def served(name: str, application: str, *options: str) -> Iterator[str]:
    """Serve the application with gunicorn, and yield its address once it answers."""
    from django.conf import settings

    from tests.processes import until

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    extra = {"WEB_PORT": str(port), "SITE_URL": address, "REDIS_PREFIX": settings.REDIS_PREFIX}
    bind = ["--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS)]
    with processes(name, ["-m", "gunicorn", *options, *bind, application], extra=extra):
        assert until(lambda: answers(port), 60)
        yield address


def answers(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
