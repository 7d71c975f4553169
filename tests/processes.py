"""Other processes: a free port, a wait for their end, and a list of those that run."""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ended(pid: int, seconds: float = 30) -> bool:
    """Wait until a process ends, which need not be a child. Return False if it still runs after `seconds`."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, seconds)
    return True


def until(condition: Callable[[], object], seconds: float = 30) -> bool:
    """Check the condition every 20 ms until it holds. Return False if it does not hold after `seconds`.

    It is for events that no file descriptor reports.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.02)
    return True


def processes(*texts: str) -> Iterator[tuple[int, str]]:
    """Yield pid and command line of each other process whose command line contains one of the texts.

    A process whose working folder begins with one of the texts counts too.
    """
    for process in psutil.process_iter():
        command = working_folder = ""
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            working_folder = process.cwd()
        if process.pid != os.getpid() and any(text in command or working_folder.startswith(text) for text in texts):
            yield process.pid, command
