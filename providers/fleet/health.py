"""The health of an upstream, derived from how its polls end. Pure functions."""

import enum
from dataclasses import dataclass

from providers.choices import Status

FAILURES = 3  # failed polls in a row that put a provider state in error
LONGEST_WAIT_SECONDS = 900.0  # between probes
FIRST_RETRY_SECONDS = 0.5  # the delay doubles with each retry
LONGEST_RETRY_SECONDS = 8.0


class PollResult(enum.Enum):
    """The end of a poll, as far as it concerns the upstream's health. Throttling shows neither good nor bad health."""

    GOOD = "good"
    FAILED = "failed"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Health:
    """The failed polls in a row, and the back-off level: 0 if well, else the probes are interval x 2^level apart."""

    failures: int
    level: int


def after_poll(health: Health, result: PollResult, interval_seconds: float) -> Health:
    """Return the health after one more poll. The level is between 0 and `highest_level(interval_seconds)`."""
    highest = highest_level(interval_seconds)
    level = min(health.level, highest)
    if result is PollResult.THROTTLED:
        return Health(health.failures, level)
    if result is PollResult.GOOD:
        return Health(0, max(0, level - 1))
    failures = health.failures + 1
    if level > 0 or failures >= FAILURES:
        return Health(failures, min(level + 1, highest))
    return Health(failures, 0)


def highest_level(interval_seconds: float) -> int:
    """Return the first level at which interval x 2^level reaches LONGEST_WAIT_SECONDS, at least 1."""
    level = 1
    while interval_seconds * 2**level < LONGEST_WAIT_SECONDS:
        level += 1
    return level


def wait_seconds(interval_seconds: float, level: int) -> float:
    """Return the seconds from one poll to the next: at most 15 min, unless the interval is longer."""
    return max(interval_seconds, min(interval_seconds * 2.0**level, LONGEST_WAIT_SECONDS))


def status_after_poll(before: Status, health: Health, result: PollResult) -> Status:
    """Return a state's status after a poll. Only an operator starts and ends maintenance.

    health: the state's own failures and its slot's level.
    """
    if before is Status.MAINTENANCE or result is PollResult.THROTTLED:
        return before
    if result is PollResult.FAILED:
        return Status.ERROR if health.failures >= FAILURES else before
    return before if before is Status.ERROR and health.level > 0 else Status.ACTIVE


def retry_delay(attempt: int, dice: float) -> float:
    """Return the seconds before retry number `attempt` (from 0), by full jitter.

    dice: a uniform random number, 0 to 1.
    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return dice * min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0**attempt)


def is_fleet_failing(failing: int, polled: int) -> bool:
    """Return whether more than half of the fleet fails at once. Then the cause is probably on our side."""
    return failing * 2 > polled and failing >= FAILURES


def has_fleet_recovered(failing: int, polled: int) -> bool:
    """Return whether at most a quarter fails: far enough below half that one state does not raise the alert again."""
    return failing * 4 <= polled
