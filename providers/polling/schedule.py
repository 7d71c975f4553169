"""When a slot is polled next. Pure: all moments are handed in."""

import hashlib
import math
from datetime import UTC, datetime, timedelta

MICROSECOND = timedelta(microseconds=1)
HORIZON = timedelta(seconds=8)  # claimed ahead: more than a tick of 5 s, so that dispatch never makes a poll late
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OUT_OF_CREDITS = 86400.0  # seconds; so that credits bought meanwhile are found within a day
LONGEST_PAUSE = 86400.0  # seconds; a Retry-After beyond it is taken for a mistake


def share(slot: str) -> float:
    """Where in its interval a slot lies, 0 to 1: the same on every machine, spread evenly over slots."""
    return int.from_bytes(hashlib.blake2b(slot.encode(), digest_size=8).digest()) / 2**64


def on_grid(polled_at: datetime, now: datetime, interval_seconds: float, share: float) -> datetime:
    """The slot's next deadline: the first of its own grid later than now and half an interval after `polled_at`.

    The grid is absolute, so lateness never adds up and what was missed is not replayed. A poll off the grid (the first
    one, or one that an operator asked for) is followed after half to one and a half intervals.
    """
    interval = round(interval_seconds * 1_000_000)
    phase = math.floor(share * interval)
    earliest = max((polled_at - EPOCH) // MICROSECOND + interval // 2, (now - EPOCH) // MICROSECOND)
    return EPOCH + ((earliest - phase) // interval + 1) * interval * MICROSECOND + phase * MICROSECOND


def after(polled_at: datetime, now: datetime, wait_seconds: float) -> datetime:
    """The next deadline of a slot whose wait changes from poll to poll: so long after the last one, or after now."""
    wait = timedelta(seconds=wait_seconds)
    return polled_at + wait if polled_at + wait > now else now + wait


def stretched(interval_seconds: float, credits_per_second: float, credits_left: float, seconds_left: float) -> float:
    """Seconds between polls, so that what is left of the account's credits lasts until they are renewed.

    credits_per_second: what all the account's slots use at their own intervals; each stretches by the same factor.
    """
    if credits_left <= 0:
        return max(interval_seconds, min(seconds_left, OUT_OF_CREDITS))
    needed = credits_per_second * seconds_left
    if needed <= credits_left:
        return interval_seconds
    return max(interval_seconds, min(interval_seconds * needed / credits_left, seconds_left))


def seconds_of_month_left(now: datetime) -> float:
    """Until the first of the next month, UTC, when the quota starts anew."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return ((first + timedelta(days=32)).replace(day=1) - now).total_seconds()
