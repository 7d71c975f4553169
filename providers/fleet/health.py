"""How well an upstream is, from how its polls end. Pure."""

import enum
from dataclasses import dataclass

from providers.choices import Status

FAILURES = 3  # in a row, then it is in error
LONGEST_WAIT = 900.0  # seconds between probes
FIRST_RETRY = 0.5  # seconds; doubles with each retry
LONGEST_RETRY = 8.0


class Ended(enum.Enum):
    """How a poll ended. Throttling tells nothing of the upstream's health."""

    GOOD = "good"
    FAILED = "failed"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Health:
    failures: int  # polls in a row
    level: int  # 0: well; else in error, probed at interval x 2^level


def after(health: Health, ended: Ended, interval_seconds: float) -> Health:
    """The health once one more poll has ended. The level lies between 0 and `highest(interval_seconds)`."""
    level = min(health.level, highest(interval_seconds))
    if ended is Ended.THROTTLED:
        return Health(health.failures, level)
    if ended is Ended.GOOD:
        return Health(0, max(0, level - 1))
    failures = health.failures + 1
    is_ill = level > 0 or failures >= FAILURES
    return Health(failures, min(level + 1, highest(interval_seconds)) if is_ill else 0)


def highest(interval_seconds: float) -> int:
    """The first level at which interval x 2^level reaches the longest wait, at least 1."""
    level = 1
    while interval_seconds * 2**level < LONGEST_WAIT:
        level += 1
    return level


def wait_seconds(interval_seconds: float, level: int) -> float:
    """From one poll to the next; never longer than 15 minutes, unless the interval itself is."""
    return max(interval_seconds, min(interval_seconds * 2.0**level, LONGEST_WAIT))


def status(now: Status, health: Health, ended: Ended) -> Status:
    """A state's status after a poll. health: its own failures, its slot's level. Maintenance is the operator's."""
    if now is Status.MAINTENANCE or ended is Ended.THROTTLED:
        return now
    if ended is Ended.FAILED:
        return Status.ERROR if health.failures >= FAILURES else now
    return now if now is Status.ERROR and health.level > 0 else Status.ACTIVE


def retry_delay(attempt: int, dice: float) -> float:
    """Seconds before retry number `attempt` (from 0), by full jitter. dice: uniform, 0 to 1.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return dice * min(LONGEST_RETRY, FIRST_RETRY * 2.0**attempt)


def is_our_side(failing: int, polled: int) -> bool:
    """Whether so much of the fleet fails at once that the cause is likelier here than there."""
    return failing * 2 > polled and failing >= FAILURES


def is_over(failing: int, polled: int) -> bool:
    """Whether that has passed: well below half, so that it does not come and go with a single state."""
    return failing * 4 <= polled
