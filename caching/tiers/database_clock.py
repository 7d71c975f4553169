"""The database's time as this process estimates it, without a query.

The estimate is this process's monotonic clock, which never goes back, plus its difference from the database's clock
when a statement last returned the database's time.
"""

import time
from dataclasses import dataclass

LONGEST_ROUND_TRIP_SECONDS = 0.25  # after a longer one the difference is too uncertain to be used


@dataclass(slots=True)
class _Estimate:
    """The database's clock minus time.monotonic(), in seconds; this machine's clock, until the database answers."""

    ahead_seconds: float


# A fork keeps its parent's estimate, because all processes of a machine share the monotonic clock.
_estimate = _Estimate(time.time() - time.monotonic())


def now() -> float:
    """Return the estimated time of the database, in seconds since 1970."""
    return time.monotonic() + _estimate.ahead_seconds


def learn(database_now: float, asked_at: float) -> None:
    """Adjust the estimate to a time that the database returned just now.

    database_now: seconds since 1970. asked_at: when the statement was sent, by time.monotonic().
    """
    round_trip = time.monotonic() - asked_at
    if round_trip <= LONGEST_ROUND_TRIP_SECONDS:
        _estimate.ahead_seconds = database_now - asked_at - round_trip / 2
