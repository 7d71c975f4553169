"""Real PostgreSQL and Redis for a fresh machine, for as long as a process needs them.

Each process that uses the servers holds a shared lock on `var/users.lock`; `config.embedded.watchdog`, their parent,
stops them when it gets that lock exclusively, which the kernel grants only when the last user is gone, however it went.
"""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from config.embedded.location import VAR, EmbeddedError, Place, place_of
from config.embedded.servers import DATABASE, ROLE, SERVERS, make_system_home
from core.process.lifetime import is_locked, open_lock

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.05
SAY_SO_AFTER_SECONDS = 2.0


def database(var: Path = VAR) -> dict[str, Any]:
    """The embedded database as an entry of Django's DATABASES."""
    sockets = str(place_of(var).sockets)
    return {"ENGINE": "django.db.backends.postgresql", "NAME": DATABASE, "USER": ROLE, "PASSWORD": "", "HOST": sockets}


def redis_url(var: Path = VAR) -> str:
    return f"unix://{place_of(var).sockets}/redis.sock"


def ensure(var: Path = VAR) -> None:
    """Hold this process as a user of the servers and return once they answer.

    `DATABASE_URL` and `REDIS_URL` each switch one off. Waits for a crash recovery however long it takes.
    Raises EmbeddedError when a server cannot be started.
    """
    wanted = [name for name, server in SERVERS.items() if not os.environ.get(server.setting)]
    if not wanted:
        return
    place = place_of(var)
    fcntl.flock(open_lock(place.var / "users.lock"), fcntl.LOCK_SH)  # held until this process ends
    starting = open_lock(place.var / "start.lock")
    try:
        fcntl.flock(starting, fcntl.LOCK_EX)
        _start(place, wanted)
        for name in wanted:
            _wait(place, name)
    finally:
        os.close(starting)


def _start(place: Place, wanted: list[str]) -> None:
    lock = place.var / "watchdog.lock"
    if is_locked(lock):
        running = lock.read_text().split()
        if missing := set(wanted) - set(running):
            problem = f"this checkout's servers run without {' and '.join(missing)}"
            raise EmbeddedError(problem, "stop what uses them (make run), then start again")
        return
    if place.user:
        make_system_home()
    place.own(place.home)
    place.own(place.sockets)
    for name in wanted:
        SERVERS[name].prepare(place)
    command = [sys.executable, "-m", "config.embedded.watchdog", str(place.var), *wanted]
    with place.open_log("watchdog") as log:
        watchdog = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    while not is_locked(lock) and watchdog.poll() is None:
        time.sleep(POLL_SECONDS)
    watchdog.returncode = 0  # it outlives this process on purpose; Popen need not warn of it


def _wait(place: Place, name: str) -> None:
    started, told = time.monotonic(), False
    while not SERVERS[name].ready(place):
        if not is_locked(place.var / "watchdog.lock"):
            lines = place.log(name).read_text(errors="replace").splitlines() if place.log(name).exists() else []
            said = lines[-1] if lines else "it said nothing"
            raise EmbeddedError(f"{name} did not start: {said}", f"see {place.log(name)}")
        if not told and time.monotonic() - started > SAY_SO_AFTER_SECONDS:
            told = True
            print(f"slipway: waiting for {name} to start or to recover ...", file=sys.stderr, flush=True)
        time.sleep(POLL_SECONDS)
