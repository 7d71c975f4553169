"""The identity of the process that executes a run, which shows other processes of its host whether it still lives."""

import os
import socket

import psutil

SAME_START_SECONDS = 5.0  # an adjusted clock moves a start time; a process id is used again much later


def current_worker_id() -> str:
    """Return this process's identity: its host, its process id and its start time, separated by colons."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_seconds(os.getpid()):.2f}s"


def is_gone(worker: str) -> bool:
    """Return whether the process ran on this host and has ended.

    The processes of other hosts and of earlier releases count as alive, until their lease expires.
    """
    host, pid, start = _parts(worker)
    if host != socket.gethostname() or not start.endswith("s"):  # earlier releases wrote it in another unit
        return False
    try:
        return abs(_start_seconds(int(pid)) - float(start.removesuffix("s"))) > SAME_START_SECONDS
    except psutil.NoSuchProcess:
        return True


def describe_worker(worker: str) -> str:
    """Return the process's name for an operator, such as `process 4711 on web-1`."""
    host, pid, _ = _parts(worker)
    return f"process {pid} on {host}" if host else "another process"


def _parts(worker: str) -> tuple[str, str, str]:
    rest, _, start = worker.rpartition(":")
    host, _, pid = rest.rpartition(":")
    return host, pid, start


def _start_seconds(pid: int) -> float:
    """Return the process's start in seconds after the machine's. Raise NoSuchProcess if the process has ended."""
    process = psutil.Process(pid)
    if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        raise psutil.NoSuchProcess(pid)
    return process.create_time() - psutil.boot_time()
