"""Candidates that are serving now. One that hangs is counted as an error while it hangs, not when it returns."""

import time
from collections.abc import Callable

from rollout.gate.running.pool import LIMIT_SECONDS


class CallInFlight:
    """A call of a candidate, from the beginning to the end of the `with` block.

    on_overdue: is called once, when the call has taken longer than the limit.
    is_overdue: whether that has happened; then the call is counted already.
    """

    __slots__ = ("_calls", "is_overdue", "on_overdue", "started_at")

    def __init__(self, calls: "set[CallInFlight]", on_overdue: Callable[[], None]) -> None:
        self._calls, self.on_overdue, self.is_overdue = calls, on_overdue, False
        self.started_at = time.monotonic()

    def __enter__(self) -> "CallInFlight":
        self._calls.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._calls.discard(self)


class CallsInFlight:
    """The calls of this process. It takes no lock: adding to a set and copying it are atomic in the interpreter."""

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._limit_seconds = limit_seconds
        self._calls: set[CallInFlight] = set()

    def track(self, on_overdue: Callable[[], None]) -> CallInFlight:
        """Return a context manager around one call."""
        return CallInFlight(self._calls, on_overdue)

    def count_overdue(self) -> None:
        """Call `on_overdue` of each call that has taken longer than the limit. The flushing thread calls this."""
        now = time.monotonic()
        for call in self._calls.copy():
            if not call.is_overdue and now - call.started_at > self._limit_seconds:
                call.is_overdue = True
                call.on_overdue()
