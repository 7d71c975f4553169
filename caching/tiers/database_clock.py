"""The database's time, as this process can tell it without asking: its own clock that never goes back, and how far that
was off when the database was last asked.
"""

import time

LONGEST_SECONDS = 0.25  # an answer that took longer says too little
_ahead_seconds = [time.time() - time.monotonic()]


def now() -> float:
    """Seconds since 1970."""
    return time.monotonic() + _ahead_seconds[0]


def learn(database_now: float, asked_at: float) -> None:
    """The database answered with its time; asked_at: by time.monotonic()."""
    took = time.monotonic() - asked_at
    if took <= LONGEST_SECONDS:
        _ahead_seconds[0] = database_now - asked_at - took / 2
