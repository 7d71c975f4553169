"""Real PostgreSQL and Redis for a fresh machine, for as long as a process needs them.

Each process that uses the servers holds a shared lock on `var/users.lock`. Their parent, `config.embedded.watchdog`,
stops them when it gets that lock exclusively. The kernel grants it only after the last user has ended, in any way.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from config.embedded.location import GIVEN_UP, VAR, EmbeddedError, Location, location_of
from config.embedded.server_commands import DATABASE, ROLE, SERVERS
from config.embedded.wheels import make_system_home
from config.environment.home import HOME
from core.process.lifetime import is_locked, open_lock

POLL_SECONDS = 0.05
NOTICE_AFTER_SECONDS = 2.0


def database(var: Path = VAR) -> dict[str, Any]:
    """Return the embedded database as an entry of Django's DATABASES."""
    sockets = str(location_of(var).sockets)
    return {"ENGINE": "django.db.backends.postgresql", "NAME": DATABASE, "USER": ROLE, "PASSWORD": "", "HOST": sockets}


def redis_url(var: Path = VAR) -> str:
    """Return the address of the embedded Redis-protocol server."""
    return f"unix://{location_of(var).sockets}/redis.sock"


def begin(var: Path = VAR) -> Callable[[], None]:
    """Register this process as a user of the servers, and start them unless they run.

    Return a function that waits until they answer; a crash recovery is waited for without a time limit.
    `DATABASE_URL` and `REDIS_URL` each switch one server off. Both functions raise EmbeddedError if a server cannot be
    started.
    """
    names = [name for name, server in SERVERS.items() if not os.environ.get(server.setting)]
    if not names:
        return lambda: None
    location = location_of(var)
    fcntl.flock(open_lock(location.var / "users.lock"), fcntl.LOCK_SH)  # held until this process ends
    start_lock = open_lock(location.var / "start.lock")
    try:
        fcntl.flock(start_lock, fcntl.LOCK_EX)
        _start(location, names)
    finally:
        os.close(start_lock)
    return partial(_wait_for_all, location, names)


def ensure(var: Path = VAR) -> None:
    """Register this process as a user of the servers, and return once they answer. See `begin`."""
    begin(var)()


def _wait_for_all(location: Location, names: list[str]) -> None:
    for name in names:
        _wait(location, name)


def _start(location: Location, names: list[str]) -> None:
    """Start the watchdog unless it runs. Raises EmbeddedError if it runs without one of these servers."""
    lock = location.var / "watchdog.lock"
    if is_locked(lock):
        running = lock.read_text().split()
        if missing := set(names) - set(running):
            missing_names = " and ".join(sorted(missing))
            problem = f"cannot start {missing_names}: this folder's other servers already run without it"
            raise EmbeddedError(problem, "stop what uses them (Ctrl-C in make run), then start again")
        return
    if location.user:
        make_system_home()
    location.make_private(location.home)
    location.make_private(location.sockets)
    for name in names:
        SERVERS[name].prepare(location)
    command = [sys.executable, "-m", "config.embedded.watchdog", str(location.var), *names]
    with location.open_log("watchdog") as log:
        watchdog = subprocess.Popen(
            command, cwd=HOME, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    while not is_locked(lock) and watchdog.poll() is None:
        time.sleep(POLL_SECONDS)
    watchdog.returncode = 0  # the watchdog outlives this process on purpose, so Popen need not warn about it


def _wait(location: Location, name: str) -> None:
    """Wait until the server answers. Raises EmbeddedError if the watchdog gave it up."""
    started, is_announced = time.monotonic(), False
    while not SERVERS[name].is_ready(location):
        lock = location.var / "watchdog.lock"
        if not is_locked(lock):
            _, _, given_up = lock.read_text().partition(GIVEN_UP)
            name = given_up or name
            log = location.log(name)
            entries = log.read_text(errors="replace").splitlines() if log.exists() else []
            reason = entries[-1] if entries else "its log is empty"
            raise EmbeddedError(f"cannot start {name}: {reason}", f"see {log}")
        if not is_announced and time.monotonic() - started > NOTICE_AFTER_SECONDS:
            is_announced = True
            print(f"slipway: waiting for {name} to start or to recover ...", file=sys.stderr, flush=True)
        time.sleep(POLL_SECONDS)
