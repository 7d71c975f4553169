"""The next deadline of a poll slot. Pure functions: the caller passes every moment."""

import hashlib
import math
from datetime import UTC, datetime, timedelta

MICROSECOND = timedelta(microseconds=1)
HORIZON = timedelta(seconds=8)  # slots are claimed ahead by more than a tick of 5 s, so that dispatch delays no poll
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POLL_WITHOUT_CREDITS_SECONDS = 86400.0  # between polls, so that new credits are found within a day


def grid_share(slot: str) -> float:
    """Return the slot's position in its interval, 0 to 1.

    It is the same on every machine, and the positions of many slots are spread evenly.
    """
    return int.from_bytes(hashlib.blake2b(slot.encode(), digest_size=8).digest()) / 2**64


def next_on_grid(polled_at: datetime, now: datetime, interval_seconds: float, share: float) -> datetime:
    """Return the first deadline on the slot's grid that is after now and half an interval after `polled_at`.

    The grid is absolute, so lateness never adds up and missed polls are not repeated. After a poll off the grid (the
    first one, or one that an operator asked for) the next one comes within half to one and a half intervals.

    share: the slot's position in its interval, 0 to 1.
    """
    interval = round(interval_seconds * 1_000_000)
    phase = math.floor(share * interval)
    earliest = max((polled_at - EPOCH) // MICROSECOND + interval // 2, (now - EPOCH) // MICROSECOND)
    return EPOCH + ((earliest - phase) // interval + 1) * interval * MICROSECOND + phase * MICROSECOND


def next_after_wait(polled_at: datetime, now: datetime, wait_seconds: float) -> datetime:
    """Return the next deadline of a slot whose wait changes from poll to poll.

    It is `wait_seconds` after the last poll, or after now if that moment is already past.
    """
    wait = timedelta(seconds=wait_seconds)
    return polled_at + wait if polled_at + wait > now else now + wait


def stretched_interval(
    interval_seconds: float, credits_per_second: float, credits_left: float, seconds_left: float
) -> float:
    """Return the seconds between polls with which the account's credits last until they are renewed.

    credits_per_second: what all slots of the account use at their own intervals; each of them stretches by the same
    factor.
    seconds_left: until the credits are renewed.
    """
    if credits_left <= 0:
        return max(interval_seconds, min(seconds_left, POLL_WITHOUT_CREDITS_SECONDS))
    needed = credits_per_second * seconds_left
    if needed <= credits_left:
        return interval_seconds
    return max(interval_seconds, min(interval_seconds * needed / credits_left, seconds_left))


def seconds_left_in_month(now: datetime) -> float:
    """Return the seconds until the first of the next month, UTC, when the upstream renews the quota."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return ((first + timedelta(days=32)).replace(day=1) - now).total_seconds()
