"""Parent-death signals and file locks: a process ends with its parent, and a lock ends with its process."""

import ctypes
import fcntl
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int, signum: int = signal.SIGTERM) -> None:
    """Ask the kernel to send this process `signum` when its parent ends, for any reason.

    The request survives exec, so it can be made between fork and exec.

    parent: the parent's process id. If the parent ended before this call, the process sends the signal to itself.
    """
    if sys.platform == "linux":
        _libc.prctl(PR_SET_PDEATHSIG, int(signum))
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


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
