"""The identity of the process that executes a run, which shows other processes of its host whether it still lives."""

import os
import socket
from pathlib import Path

START_TIME_FIELD = 19  # the index of a process's start time in /proc/PID/stat, counted after its name; see proc(5)


def current_worker_id() -> str:
    """Return this process's identity: its host, its process id and its start time, separated by colons."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_time(os.getpid())}"


def is_gone(worker: str) -> bool:
    """Return whether the process ran on this host and has ended. The processes of other hosts count as alive."""
    host, _, pid = worker.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname():
        return False
    return _start_time(int(pid)) != worker.rpartition(":")[2]


def describe_worker(worker: str) -> str:
    """Return the process's name for an operator, such as `process 4711 on web-1`."""
    host, _, pid = worker.rpartition(":")[0].rpartition(":")
    return f"process {pid} on {host}" if host else "another process"


def _start_time(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    state = fields[0]
    return "" if state in "ZX" else fields[START_TIME_FIELD]
