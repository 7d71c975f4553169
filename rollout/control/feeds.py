"""The system that a rollout's guards watch beside it: apps tell of their feeds with `watch`, in `AppConfig.ready`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Feeds:
    """How many feeds are watched, by how they are."""

    healthy: int = 0
    failing: int = 0
    inactive: int = 0

    @property
    def watched(self) -> int:
        return self.healthy + self.failing + self.inactive

    def __add__(self, other: Self) -> "Feeds":
        return Feeds(self.healthy + other.healthy, self.failing + other.failing, self.inactive + other.inactive)


_watched: list[Callable[[], Feeds]] = []


def watch(feeds: Callable[[], Feeds]) -> None:
    _watched.append(feeds)


def look() -> Feeds | None:
    """All of them together; None where nobody told of any."""
    return sum((feeds() for feeds in _watched), Feeds()) if _watched else None
