"""The database's time, as this process can tell it without asking: its own, and how far that was off last time."""

import time

_ahead_seconds = [0.0]


def now() -> float:
    """Seconds since 1970."""
    return time.time() + _ahead_seconds[0]


def learn(database_now: float) -> None:
    """The database just answered with its time."""
    _ahead_seconds[0] = database_now - time.time()
