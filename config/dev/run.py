"""Everything on one machine: `make run`. Bootstrap, then the Procfile's processes under honcho."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from multiprocessing import Queue
from pathlib import Path
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.process import Popen, Process

from config.dev.checkout import ROOT, make_env_file, require_ports, web_port
from config.embedded import lifecycle
from config.embedded.location import VAR, EmbeddedError, place_of
from config.environment import ENV_FILE, load_env_file
from core.process.lifetime import die_with, open_lock, try_lock

WIND_DOWN_SECONDS = 15.0
STOPPED = (130, 143)  # by Ctrl-C or SIGTERM


class Tethered(Process):
    """A process that ends when honcho ends, even by kill -9; while it lives, it holds the run lock."""

    run_lock: int

    def run(self, events: "Queue[Any] | None" = None, ignore_signals: bool = False) -> None:
        die_with(self.manager_pid, signal.SIGKILL)  # this is honcho's reader, which ignores SIGTERM
        tether = partial(die_with, os.getpid(), signal.SIGKILL)  # nobody is left to wait for an orderly end
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


def bootstrap(lock: int) -> dict[str, Any]:
    command = [sys.executable, "manage.py", "bootstrap", "--json"]
    tether = partial(die_with, os.getpid(), signal.SIGKILL)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, pass_fds=[lock], preexec_fn=tether)
    if done.returncode:
        sys.exit(1)  # it said why
    return dict(json.loads(done.stdout))


def announce(lines: list[str]) -> None:
    """Print the lines once the site answers."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            direct.open(f"http://127.0.0.1:{web_port()}/readyz", timeout=5).close()
            break
        except urllib.error.HTTPError as error:
            if error.code != 503:  # it answers, if only to say that it has another name
                break
        except OSError:
            pass
        time.sleep(0.1)
    print("\n".join(["", *lines, ""]), flush=True)


def prepare(secrets: list[str]) -> int:
    """Everything before the processes start. Returns the run lock; adds to `secrets` what is told only once."""
    place_of()  # says so in one line when the folder cannot be used
    lock = take_run_lock()
    if token := make_env_file(ENV_FILE):
        secrets.append(f"API token: {token}")
    load_env_file()
    os.environ["WEB_PORT"] = str(web_port())
    require_ports()
    lifecycle.ensure()
    admin = bootstrap(lock)["admin"]
    if admin["password"]:
        secrets.append(f"Admin user: {admin['username']}   password: {admin['password']}   (shown this once)")
    return lock


def main() -> NoReturn:
    die_with(os.getppid())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    secrets: list[str] = []
    try:
        Tethered.run_lock = prepare(secrets)
    except (EmbeddedError, ImproperlyConfigured) as error:
        print("".join(f"{line}\n" for line in secrets), end="", flush=True)  # it would not be told again
        sys.exit(f"slipway: {error}")
    except KeyboardInterrupt:
        sys.exit(0)
    fleet = Fleet([f"Slipway is ready: http://127.0.0.1:{web_port()}/admin/   (Ctrl-C stops it)", *secrets])
    env = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ.get('PATH', '')}"}
    if sys.stdout.isatty():
        env["FORCE_COLOR"] = "1"
    for name, command in parse_procfile((ROOT / "Procfile").read_text()).processes.items():
        fleet.add_process(name, command, env=env, cwd=str(ROOT))
    try:
        fleet.loop()
    except BaseException:  # nobody reads what we print any more, or told to stop before all had started
        os._exit(0 if fleet.returncode in STOPPED else 1)  # our end is the others' end too
    sys.exit(0 if fleet.returncode in STOPPED else "slipway: a process ended by itself; its last lines above say why")


if __name__ == "__main__":
    main()
