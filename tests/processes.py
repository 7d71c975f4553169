"""Other processes: a free port, a wait for their end, and a list of those that run."""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ended(pid: int, seconds: float = 30) -> bool:
    """Wait until a process ends, which need not be a child. Return False if it still runs after `seconds`.

    The process's file descriptor becomes readable when it ends, so there is no sleep.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


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
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            working_folder = os.readlink(folder / "cwd")
        except OSError:
            continue
        is_other = int(folder.name) != os.getpid()
        if is_other and any(text in command or working_folder.startswith(text) for text in texts):
            yield int(folder.name), command
