"""The feeds that the guards of rollouts watch. Apps register theirs with `watch_feeds` in `AppConfig.ready`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import structlog

from rollout.decisions.judging import Feeds

log = structlog.get_logger("slipway.rollout")


@dataclass(frozen=True, slots=True)
class FeedCounts:
    """The number of watched feeds by their state."""

    healthy: int = 0
    failing: int = 0
    inactive: int = 0

    @property
    def watched(self) -> int:
        """The number of all watched feeds."""
        return self.healthy + self.failing + self.inactive

    def __add__(self, other: Self) -> "FeedCounts":
        return FeedCounts(self.healthy + other.healthy, self.failing + other.failing, self.inactive + other.inactive)


_counters: list[Callable[[], FeedCounts]] = []


def watch_feeds(count: Callable[[], FeedCounts]) -> None:
    """Register a function that counts the feeds of one app."""
    _counters.append(count)


def read_feeds() -> Feeds | None:
    """Return the counts as the guards judge them; None if no app registered any."""
    try:
        counts = count_feeds()
    except Exception as error:  # one app must not keep the other guards from judging
        log.exception("cannot count the watched feeds")
        return Feeds(problem=f"counting failed: {type(error).__name__}")
    return Feeds(counts.watched, counts.failing) if counts else None


def count_feeds() -> FeedCounts | None:
    """Return the counts of all apps together; None if no app registered any."""
    if not _counters:
        return None
    return sum((count() for count in _counters), FeedCounts())
