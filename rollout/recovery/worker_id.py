"""Which process carries a run out, told so that others on its host can see whether it still lives."""

import os
import socket
from pathlib import Path

STARTED = 19  # where a process's start lies in /proc/PID/stat, counted behind its name, see proc(5)


def own() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def is_gone(worker: str) -> bool:
    """Whether it ran on this host, and has ended. Of another host's nobody here can tell."""
    host, _, process = worker.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname():
        return False
    return _started(int(process)) != worker.rpartition(":")[2]


def _started(pid: int) -> str:
    try:
        said = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if said[0] in "ZX" else said[STARTED]
