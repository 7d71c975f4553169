"""A thread that stores what a process has counted, again and again, so that counting itself waits for no server."""

import threading
import time
from collections.abc import Callable

from core.process.exits import at_exit


class FlushThread:
    """A daemon thread that calls `flush` every `seconds`, from its start on, and once more when the process exits.

    name: the thread's. flush: raises nothing.
    """

    def __init__(self, name: str, flush: Callable[[], object], seconds: float) -> None:
        self._name, self._flush, self._seconds = name, flush, seconds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ensure_started(self) -> None:
        """Start the thread unless it was started."""
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
                at_exit(self._flush)

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds)
            self._flush()
