"""The end of processes whose parent died, where the kernel sends no signal then: `python reaper.py`.

`lifetime` starts this program once in a process that has children. Each child writes its process id and the number of a
signal into the program's standard input. The kernel closes that pipe when the parent ends, in any way, and each child
that still runs gets its signal.
"""

import signal
import sys
from contextlib import suppress

import psutil


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    children: list[tuple[psutil.Process, int]] = []
    for line in sys.stdin:
        pid, signum = map(int, line.split())
        children = [child for child in children if child[0].is_running()]
        with suppress(psutil.NoSuchProcess):
            children.append((psutil.Process(pid), signum))
    for process, signum in children:
        with suppress(psutil.Error):
            process.send_signal(signum)  # psutil refuses a process id that now belongs to another process


if __name__ == "__main__":
    main()
