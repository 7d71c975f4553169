"""The feeds that the guards of rollouts watch. Apps register theirs with `watch_feeds` in `AppConfig.ready`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import structlog

from core.db.lock_wait import short_lock_waits
from core.errors import first_line
from core.redaction import redact
from rollout.decisions.judging import Feeds

log = structlog.get_logger("slipway.rollout")


@dataclass(frozen=True, slots=True)
class FeedCounts:
    """The number of watched feeds by their state.

    broken: the names of the functions that could not count theirs; their feeds are not in the numbers.
    """

    healthy: int = 0
    failing: int = 0
    inactive: int = 0
    broken: tuple[str, ...] = ()

    @property
    def watched(self) -> int:
        """The number of all watched feeds."""
        return self.healthy + self.failing + self.inactive

    def __add__(self, other: Self) -> "FeedCounts":
        return FeedCounts(
            self.healthy + other.healthy,
            self.failing + other.failing,
            self.inactive + other.inactive,
            self.broken + other.broken,
        )


_counters: list[Callable[[], FeedCounts]] = []
_broken: set[str] = set()  # logged already


def watch_feeds(count: Callable[[], FeedCounts]) -> None:
    """Register a function that counts the feeds of one app.

    While it raises, the guard feed_health cannot be measured; the feeds of other apps are still counted.
    """
    _counters.append(count)


def read_feeds() -> Feeds | None:
    """Return the counts as the guards judge them; None if no app registered any."""
    counts = count_feeds()
    if counts is None:
        return None
    problem = f"{', '.join(counts.broken)} could not count" if counts.broken else ""
    return Feeds(counts.watched, counts.failing, problem)


def count_feeds() -> FeedCounts | None:
    """Return the counts of all apps together; None if no app registered any."""
    if not _counters:
        return None
    return sum(map(_count, _counters), FeedCounts())


def _count(count: Callable[[], FeedCounts]) -> FeedCounts:
    """Return the counts of one app. If its function raises, log it once, until it counts again."""
    name = f"{count.__module__}.{getattr(count, '__qualname__', type(count).__name__)}"
    try:
        with short_lock_waits():  # a savepoint: a statement that fails there does not end the caller's transaction
            counts = count()
            if not isinstance(counts, FeedCounts):
                raise TypeError(f"it returned {type(counts).__name__}, not FeedCounts")
    except Exception as error:  # the code of an app
        if name not in _broken:
            _broken.add(name)
            cause = redact(first_line(error, type(error).__name__))
            log.error("cannot count feeds; the guard feed_health is not measurable", watcher=name, error=cause)
        return FeedCounts(broken=(name,))
    if name in _broken:
        _broken.discard(name)
        log.info("feeds are counted again", watcher=name)
    return counts
