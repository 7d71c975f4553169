"""Processes that end with their parent, and file locks that end with their process."""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import sleep

from core.process.per_process import PerProcess

PR_SET_PDEATHSIG = 1  # prctl(2)
REAPER = Path(__file__).with_name("reaper.py")
POLL_SECONDS = 0.2
# Linux sends a signal when a parent ends; macOS does not. The variable lets Linux take the other way, for the tests.
_HAS_PARENT_DEATH_SIGNAL = sys.platform == "linux" and "SLIPWAY_NO_PARENT_DEATH_SIGNAL" not in os.environ
_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int, signum: int = signal.SIGTERM) -> None:
    """Arrange that this process gets `signum` when its parent ends, for any reason.

    parent: the parent's process id. If the parent ended before this call, the process sends the signal to itself.
    """
    if _HAS_PARENT_DEATH_SIGNAL:
        _ask_kernel(parent, signum)
    else:
        threading.Thread(target=_watch, args=(parent, signum), daemon=True).start()


def tether(signum: int) -> Callable[[], None]:
    """Return a function for `preexec_fn`: the child gets `signum` when this process ends, for any reason."""
    if _HAS_PARENT_DEATH_SIGNAL:
        return partial(_ask_kernel, os.getpid(), signum)  # the request survives exec
    return partial(_register, _reaper(), signum)


def _ask_kernel(parent: int, signum: int) -> None:
    _libc.prctl(PR_SET_PDEATHSIG, int(signum))
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def _watch(parent: int, signum: int) -> None:
    while os.getppid() == parent:
        sleep(POLL_SECONDS)
    os.kill(os.getpid(), signum)


class _Reaper:
    """The program that ends this process's children. It acts once every copy of the pipe's write end is closed."""

    def __init__(self) -> None:
        read_end, self.pipe = os.pipe()  # a program that a child executes inherits neither
        self.process = subprocess.Popen([sys.executable, str(REAPER)], stdin=read_end, start_new_session=True)
        self.process.returncode = 0  # it outlives this process on purpose, so Popen need not warn about it
        os.close(read_end)

    def __del__(self) -> None:
        os.close(self.pipe)  # in a forked child too: its copy would keep the reaper waiting


def _register(reaper: _Reaper, signum: int) -> None:
    with suppress(BrokenPipeError):  # the reaper was killed; its children go on without it
        os.write(reaper.pipe, f"{os.getpid()} {int(signum)}\n".encode())


_reaper = PerProcess(_Reaper)


def open_lock(path: Path) -> int:
    """Open the lock file, and create it if it does not exist. Return its descriptor; the caller closes it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(fd: int) -> bool:
    """Lock the open file until it is closed. Return False at once if another descriptor holds the lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Return whether a living process holds the lock. This function does not keep it."""
    fd = open_lock(path)
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)
