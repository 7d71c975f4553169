"""Candidates that are being served: one that hangs is counted as an error while it hangs, not when it returns."""

import time
from collections.abc import Callable

from rollout.gate.shadow import LIMIT_SECONDS


class Flight:
    """One call, for as long as the `with` lasts; it is overdue once it was counted."""

    __slots__ = ("_all", "is_overdue", "on_overdue", "started_at")

    def __init__(self, among: "set[Flight]", on_overdue: Callable[[], None]) -> None:
        self._all, self.on_overdue, self.is_overdue = among, on_overdue, False
        self.started_at = time.monotonic()

    def __enter__(self) -> "Flight":
        self._all.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._all.discard(self)


class InFlight:
    """Takes no lock: adding to a set, and copying it, are one step for the interpreter."""

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._limit = limit_seconds
        self._flights: set[Flight] = set()

    def watched(self, on_overdue: Callable[[], None]) -> Flight:
        return Flight(self._flights, on_overdue)

    def count_overdue(self) -> None:
        """Called again and again by who flushes the counts."""
        now = time.monotonic()
        for flight in self._flights.copy():
            if not flight.is_overdue and now - flight.started_at > self._limit:
                flight.is_overdue = True
                flight.on_overdue()
