"""Everything on one machine: `make run` and `slipway run`. Bootstrap, then the Procfile's processes under honcho."""

# ruff: noqa: E402
import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # while the modules load, Ctrl-C ends the process without a traceback

import json
import multiprocessing
import os
import socket
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

import psutil
from django.core.exceptions import ImproperlyConfigured
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.process import Popen, Process

from config.dev.checkout import make_env_file, settle_ports, site_address
from config.embedded import lifecycle
from config.embedded.location import VAR, EmbeddedError, location_of
from config.environment.env_file import ENV_FILE, load_env_file
from config.environment.home import HOME, IS_CHECKOUT
from core.process.lifetime import die_with, open_lock, tether, try_lock

PROCFILE = Path(__file__).parents[1] / "processes" / "Procfile"
PROGRAM = ".venv/bin/python manage.py" if IS_CHECKOUT else "slipway"
WIND_DOWN_SECONDS = 15.0
SITE = "web"  # its name in the Procfile
STOPPED = (130, 143)  # exit codes after Ctrl-C and after SIGTERM


class StartingGate:
    """The pipe that makes the other processes wait until the site answers, so that they do not slow its start."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def open(self) -> None:
        """Close this process's end of the pipe. The gate opens once no process has one."""
        os.close(self._writer)

    def waiting(self, command: str) -> str:
        """Return the shell command with a wait before it: `read` returns once no process can write any more."""
        return f"read _ < /dev/fd/{self.reader}; {command}"


class TetheredProcess(Process):
    """A process that ends when honcho ends, even by kill -9. It holds the run lock while it lives."""

    run_lock: int
    gate: StartingGate
    listening: socket.socket  # the site's, which its process gets

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.manager_pid = os.getpid()

    def run(self, events: "Queue[Any] | None" = None, ignore_signals: bool = False) -> None:
        die_with(self.manager_pid, signal.SIGKILL)  # this is honcho's reader process, which ignores SIGTERM
        self.gate.open()  # only the manager's end of the pipe counts
        # The child is killed, because no process is left that could wait for an orderly end.
        inherited = [self.run_lock, self.listening.fileno() if self.name == SITE else self.gate.reader]
        self._child_ctor = partial(Popen, pass_fds=inherited, preexec_fn=tether(signal.SIGKILL))
        super().run(events, ignore_signals)


class ProcessManager(Manager):
    """honcho's manager with tethered processes. Once the site answers, it opens the gate and prints the messages.

    honcho has no public hooks for these, so the class overrides protected methods; requirements.txt locks the version.
    """

    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._process_ctor = TetheredProcess
        self.messages = messages

    def _start(self) -> None:
        super()._start()
        # The thread starts after the forks, because a fork copies no threads.
        threading.Thread(target=open_when_ready, args=[self.messages], daemon=True).start()

    def _any_stopped(self) -> bool:
        """Count a process whose reader was killed, too: honcho would never learn that it ended."""
        for entry in self._processes.values():
            if "returncode" not in entry and not entry["process"].is_alive():
                entry["returncode"] = 1
        return bool(super()._any_stopped())


def take_run_lock() -> int:
    """Take the lock that allows one run per home folder. Return its file descriptor.

    The processes of a run that was killed get WIND_DOWN_SECONDS to end. Raises EmbeddedError if a run is active.
    """
    lock = open_lock(VAR / "run.lock")
    deadline = time.monotonic() + WIND_DOWN_SECONDS
    while not try_lock(lock):
        holder = os.pread(lock, 20, 0).decode()
        if (holder and psutil.pid_exists(int(holder))) or time.monotonic() > deadline:
            problem = f"cannot start: slipway already runs in this folder (process {holder})"
            raise EmbeddedError(problem, "use that one, or stop it first with Ctrl-C")
        time.sleep(0.1)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def run_bootstrap(lock: int) -> dict[str, Any]:
    """Run `slipway bootstrap` as a child that holds the lock. Return the JSON document that it prints."""
    command = [sys.executable, "-m", "config.processes", "bootstrap", "--json"]
    kill_with_this = tether(signal.SIGKILL)
    completed = subprocess.run(command, cwd=HOME, stdout=subprocess.PIPE, pass_fds=[lock], preexec_fn=kill_with_this)
    if completed.returncode:
        sys.exit(1)  # bootstrap has printed the reason
    return dict(json.loads(completed.stdout))


def open_when_ready(messages: list[str]) -> None:
    """Wait until the site answers. Then open the gate for the other processes, and print the messages."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            direct.open(f"{site_address()}/readyz", timeout=5).close()
            break
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 503:  # the site answers, even if ALLOWED_HOSTS does not hold this name
                break
        except OSError:
            pass
        time.sleep(0.05)
    TetheredProcess.gate.open()
    print("\n".join(["", *messages, ""]), flush=True)


def prepare() -> tuple[int, socket.socket, list[str]]:
    """Do everything that precedes the start of the processes.

    Return the run lock, the socket of the site, and the messages that hold new secrets. Each was printed when the
    secret was made.
    """
    location_of()  # raises EmbeddedError if the folder cannot be used
    lock = take_run_lock()
    secrets = []
    if token := make_env_file(ENV_FILE):
        secrets.append(f"API token: {token}")
        print(secrets[-1], flush=True)
    load_env_file()
    listening, messages = settle_ports(ENV_FILE)
    for message in messages:
        print(f"slipway: {message}", flush=True)
    lifecycle.begin()  # bootstrap waits for the servers
    admin = run_bootstrap(lock)["admin"]
    if admin["password"]:
        secrets.append(f"Admin user: {admin['username']}   password: {admin['password']}")
        print(secrets[-1], flush=True)
    return lock, listening, secrets


def main() -> NoReturn:
    multiprocessing.set_start_method("fork")  # honcho's processes cannot be sent to a fresh interpreter
    die_with(os.getppid())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))  # the manager sets its own later
    try:
        TetheredProcess.run_lock, TetheredProcess.listening, secrets = prepare()
    except (EmbeddedError, ImproperlyConfigured) as error:
        sys.exit(f"slipway: {error}")
    except OSError as error:
        problem = f"cannot use {error.filename or VAR}: {error.strerror}"
        sys.exit(f"slipway: {problem}; make it writable, and check the free space: df -h {HOME}")
    if secrets:
        secrets.append(f"(shown this once; for a new password or token, run: {PROGRAM} credentials)")
    ready = f"Slipway is ready: {site_address()}/admin/   (Ctrl-C stops it)"
    manager = ProcessManager([ready, *secrets])
    env = os.environ | {
        "PYTHONPATH": ":".join(filter(None, [str(HOME), os.environ.get("PYTHONPATH")])),
        "SLIPWAY_SITE_SOCKET": str(TetheredProcess.listening.fileno()),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
    }
    if sys.stdout.isatty():
        env["FORCE_COLOR"] = "1"
    TetheredProcess.gate = gate = StartingGate()
    for name, command in parse_procfile(PROCFILE.read_text()).processes.items():
        manager.add_process(name, command if name == SITE else gate.waiting(command), env=env, cwd=str(HOME))
    try:
        manager.loop()
    except BaseException:  # the reader of our output is gone, or a signal came before all processes had started
        os._exit(0 if manager.returncode in STOPPED else 1)  # the children end with this process
    if manager.returncode not in STOPPED:
        sys.exit("slipway: a process ended unexpectedly; see its last lines above")
    sys.exit(0)


if __name__ == "__main__":
    main()
