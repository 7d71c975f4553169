"""The counts of a rollout's two arms, and their sums. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Moments:
    """The values of one of the application's own metrics: their number, their sum and the sum of their squares.

    A metric that is true or false is counted as 1 or 0.
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)


@dataclass(frozen=True, slots=True)
class Counts:
    """The observations of one arm.

    failing: errors, in which a targeting key that fails again within the hour is counted once.
    keys: targeting keys that were seen for the first time in their percent step.
    compared: shadow runs whose input was the same as control's; `mismatches` of them had another value.
    uncompared: shadow runs whose values could not be compared, because the comparison failed.
    alone: calls of control beside which the candidate could not run: without a probe, or made elsewhere.
    dropped: observations that could not be used, so that the other counts are too small.
    latencies: number of calls by bucket of `rollout.decisions.latency`.
    own: the application's own metrics, by name.
    """

    requests: int = 0
    errors: int = 0
    failing: int = 0
    keys: int = 0
    hits: int = 0
    misses: int = 0
    compared: int = 0
    mismatches: int = 0
    uncompared: int = 0
    alone: int = 0
    dropped: int = 0
    latencies: Mapping[int, int] = field(default_factory=dict)
    own: Mapping[str, Moments] = field(default_factory=dict)

    def __add__(self, other: "Counts") -> "Counts":
        if other is EMPTY or self is EMPTY:
            return self if other is EMPTY else other
        latencies = {**self.latencies}
        for bucket, calls in other.latencies.items():
            latencies[bucket] = latencies.get(bucket, 0) + calls
        own = {**self.own}
        for name, moments in other.own.items():
            own[name] = own.get(name, Moments()) + moments
        return Counts(
            **{name: getattr(self, name) + getattr(other, name) for name in COUNT_FIELDS},
            latencies=latencies,
            own=own,
        )

    def slower_than(self, bucket: int) -> int:
        """Return the number of calls that took longer than the bound of this latency bucket."""
        return sum(count for number, count in self.latencies.items() if number > bucket)

    @property
    def timed(self) -> int:
        """The number of calls whose latency was measured."""
        return sum(self.latencies.values())


COUNT_FIELDS = (
    "requests",
    "errors",
    "failing",
    "keys",
    "hits",
    "misses",
    "compared",
    "mismatches",
    "uncompared",
    "alone",
    "dropped",
)
EMPTY = Counts()


@dataclass(frozen=True, slots=True)
class Arms:
    """The counts of both arms over the same time."""

    candidate: Counts = EMPTY
    control: Counts = EMPTY

    def __add__(self, other: "Arms") -> "Arms":
        return Arms(self.candidate + other.candidate, self.control + other.control)
