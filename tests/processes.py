"""Other processes: a port for one, its end awaited without sleeping (a pidfd becomes readable), and who lives."""

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
    """Wait for a process to end; it need not be a child. False when it still lives after `seconds`."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def until(found: Callable[[], object], seconds: float = 30) -> bool:
    """Look again and again, for what no file descriptor tells of. False when it did not come about."""
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.02)
    return True


def processes(*marks: str) -> Iterator[tuple[int, str]]:
    """(pid, command line) of the living processes with one of the marks in command line or working folder."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = os.readlink(folder / "cwd")
        except OSError:
            continue
        if int(folder.name) != os.getpid() and any(mark in command or place.startswith(mark) for mark in marks):
            yield int(folder.name), command
