"""Everything on one machine: `make run`. Bootstrap, then the Procfile's processes under honcho."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from functools import partial
from multiprocessing import Queue
from pathlib import Path
from typing import Any, NoReturn

from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.process import Popen, Process

from config import embedded
from config.development import ROOT, make_env_file, require_ports
from config.environment import ENV_FILE, load_env_file
from config.place import VAR, EmbeddedError, place_of
from config.processes import die_with, open_lock, try_lock

WIND_DOWN_SECONDS = 15.0


class Tethered(Process):
    """A process that ends when honcho ends, even by kill -9; while it lives, it holds the run lock."""

    run_lock: int

    def run(self, events: "Queue[Any] | None" = None, ignore_signals: bool = False) -> None:
        die_with(self.manager_pid, signal.SIGKILL)  # this is honcho's reader; the process itself gets a SIGTERM
        tether = partial(die_with, os.getpid(), signal.SIGTERM)
        self._child_ctor = partial(Popen, pass_fds=[self.run_lock], preexec_fn=tether)
        super().run(events, ignore_signals)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.manager_pid = os.getpid()


class Fleet(Manager):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._process_ctor = Tethered
        self.lines = lines

    def _start(self) -> None:
        super()._start()
        threading.Thread(target=announce, args=[self.lines], daemon=True).start()  # after the forks

    def _any_stopped(self) -> bool:
        """Count a process whose reader was killed, of which honcho would never hear."""
        for entry in self._processes.values():
            if "returncode" not in entry and not entry["process"].is_alive():
                entry["returncode"] = 1
        return bool(super()._any_stopped())


def take_run_lock() -> int:
    """One run per checkout. Waits for the processes of a run that was killed to end."""
    lock = open_lock(VAR / "run.lock")
    deadline = time.monotonic() + WIND_DOWN_SECONDS
    while not try_lock(lock):
        holder = os.pread(lock, 20, 0).decode()
        if Path(f"/proc/{holder}").exists() or time.monotonic() > deadline:
            problem = f"slipway already runs in this checkout (process {holder})"
            raise EmbeddedError(problem, "use that one, or stop it with Ctrl-C first")
        time.sleep(0.1)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def bootstrap() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "manage.py", "bootstrap", "--json"], cwd=ROOT, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(1)  # it said why
    return dict(json.loads(done.stdout))


def announce(lines: list[str]) -> None:
    """Print the lines once the site answers."""
    url = f"http://127.0.0.1:{os.environ['WEB_PORT']}/readyz"
    request = urllib.request.Request(url, headers={"Host": "localhost"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310
                break
        except OSError:
            time.sleep(0.1)
    print("\n".join(["", *lines, ""]), flush=True)


def prepare() -> tuple[int, list[str]]:
    """Everything before the processes start. Returns the run lock and what to tell once the site is up."""
    place_of()  # says so in one line when the folder cannot be used
    lock = take_run_lock()
    token = make_env_file(ENV_FILE)
    load_env_file()
    os.environ.setdefault("WEB_PORT", "8000")
    require_ports()
    embedded.ensure()
    admin = bootstrap()["admin"]
    lines = [f"Slipway is ready: {os.environ['SITE_URL']}/admin/   (Ctrl-C stops it)"]
    if admin["password"]:
        lines.append(f"Admin user: {admin['username']}   password: {admin['password']}   (shown this once)")
    if token:
        lines.append(f"API token: {token}")
    return lock, lines


def main() -> NoReturn:
    die_with(os.getppid())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        Tethered.run_lock, lines = prepare()
    except EmbeddedError as error:
        sys.exit(f"slipway: {error}")
    except KeyboardInterrupt:
        sys.exit(0)
    fleet = Fleet(lines)
    env = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ.get('PATH', '')}"}
    if sys.stdout.isatty():
        env["FORCE_COLOR"] = "1"
    for name, command in parse_procfile((ROOT / "Procfile").read_text()).processes.items():
        fleet.add_process(name, command, env=env, cwd=str(ROOT))
    try:
        fleet.loop()
    except OSError:  # nobody reads what we print any more; our end is the others' end too
        os._exit(1)
    stopped_by_operator = fleet.returncode in (130, 143)
    sys.exit(0 if stopped_by_operator else "slipway: a process ended by itself; its last lines above say why")


if __name__ == "__main__":
    main()
