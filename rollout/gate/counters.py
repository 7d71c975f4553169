"""The observations of a rollout's arms: counted in memory, sent to Redis every second, and read back added up.

An error of the candidate is sent at once. Counts belong to a rollout, an epoch and an arm; a visit's counts are the sum
over its epochs. Besides these totals, counts are kept in slots of ten seconds, for the rolling window, and over all
epochs, for Prometheus. Each arm's counts are sent by one script, which also trips the rollout if its errors exceed
their limit, so no tick is needed for a trip. Without Redis, observations are kept up to a bound. Beyond it they are
dropped, and the dropped ones are counted, so that a guard reports that it cannot measure.
"""

import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import redis

from core.redis import client, key
from rollout.decisions.guards import Counts
from rollout.decisions.latency import LARGEST_BUCKET, bucket_number
from rollout.decisions.stages import Arm
from rollout.gate.marks import relative_guard_key, trip_key
from rollout.gate.scripts import ADD_COUNTS

UNSENT_AT_MOST = 100_000  # observations that Redis has not taken yet
SLOT_SECONDS = 10
LIFE_SECONDS = 400 * 86400  # longer than any stage visit that is judged as a whole
LATENCY_PREFIX = "b"  # of the field that counts a latency bucket; the bucket's number follows
LATENCY_FIELDS = [f"{LATENCY_PREFIX}{number}" for number in range(LARGEST_BUCKET + 1)]
MICROSECONDS = "us"  # the field that adds the latencies up
COUNT_FIELDS = ("requests", "errors", "hits", "misses", "compared", "mismatches", "dropped")


class Observation(NamedTuple):
    """The effects of one call of an arm.

    ms: its latency.
    is_hit: whether a cache had the value; None if no cache was looked up.
    is_same: whether the value equals control's; None if the two were not compared.
    """

    rollout: str
    epoch: int
    arm: Arm
    ms: float
    is_error: bool = False
    is_hit: bool | None = None
    is_same: bool | None = None


@dataclass(frozen=True, slots=True)
class StageVisit:
    """The visit of a rollout to its present stage, as far as counting needs it.

    epoch, first_epoch: the present epoch, and the one with which the visit began.
    errors_at_most: the hard limit of the candidate's errors; None if there is none.
    window_seconds: the length of the rolling window that is judged; None: the whole visit.
    """

    epoch: int
    first_epoch: int
    errors_at_most: int | None = None
    window_seconds: float | None = None

    def includes(self, epoch: int) -> bool:
        """Return whether the epoch is one of this visit."""
        return self.first_epoch <= epoch <= self.epoch


class CountKey(NamedTuple):
    """The rollout, epoch and arm that a set of counts belongs to."""

    rollout: str
    epoch: int
    arm: Arm


@dataclass(frozen=True, slots=True)
class Batch:
    """Counts on their way to Redis. A batch that may or may not have arrived is sent again under the same id."""

    id: str
    key: CountKey
    counts: Counter[str]


class Counters:
    """The counts of one process. Threads share it; `observe` takes no lock.

    visit_of: returns a rollout's stage visit by its name, or None if the rollout is unknown.
    on_trip: is called after a batch that tripped its rollout.
    """

    def __init__(
        self, visit_of: Callable[[str], StageVisit | None], on_trip: Callable[[], object] | None = None
    ) -> None:
        self._visit_of, self._on_trip = visit_of, on_trip
        self._observations: deque[Observation] = deque()
        self._counts: dict[CountKey, Counter[str]] = {}
        self._batch: Batch | None = None
        self._lock = threading.Lock()
        self.wake = threading.Event()  # set if an observation should be sent at once

    def observe(self, observation: Observation) -> None:
        """Count one call of an arm."""
        self._observations.append(observation)
        if observation.is_error and observation.arm is Arm.CANDIDATE:
            self.wake.set()

    def flush(self) -> bool:
        """Send what was counted. Return whether Redis took all of it; the rest is sent the next time."""
        with self._lock:
            self._add_up()
            try:
                while self._batch or self._counts:
                    if self._batch is None:
                        self._batch = Batch(uuid.uuid4().hex, *self._counts.popitem())
                    self._send(self._batch)
                    self._batch = None
            except redis.RedisError:
                return False
            return True

    def _add_up(self) -> None:
        unsent = sum(counts["requests"] for counts in self._counts.values())
        if self._batch is not None:
            unsent += self._batch.counts["requests"]
        while self._observations:
            observation = self._observations.popleft()
            count_key = CountKey(observation.rollout, observation.epoch, observation.arm)
            counts = self._counts.setdefault(count_key, Counter())
            if unsent < UNSENT_AT_MOST:
                counts.update(_fields(observation))
                counts[MICROSECONDS] += round(observation.ms * 1000)
            else:
                counts["dropped"] += 1
            unsent += 1

    def _send(self, batch: Batch) -> None:
        rollout, epoch, arm = batch.key
        visit = self._visit_of(rollout)
        if visit is None or not visit.includes(epoch):
            visit = StageVisit(epoch, epoch)  # the visit is over or unknown: count, but never trip
        limit = visit.errors_at_most if arm is Arm.CANDIDATE else None
        keys = [
            _totals_key(rollout, epoch, arm),
            _slots_prefix(rollout, visit.first_epoch, arm),
            _totals_prefix(rollout),
            trip_key(rollout),
            key("rollouts"),
            key(f"metrics-sent:{batch.id}"),
            relative_guard_key(rollout, visit.first_epoch),
            _all_epochs_key(rollout, arm),
        ]
        arguments = [
            LIFE_SECONDS,
            SLOT_SECONDS,
            epoch,
            visit.first_epoch,
            -1 if limit is None else limit,
            round((visit.window_seconds or 0) / SLOT_SECONDS),
            arm.value,
        ]
        fields_and_counts = [part for field_and_count in batch.counts.items() for part in field_and_count]
        has_tripped = client().eval(ADD_COUNTS, len(keys), *keys, *arguments, *fields_and_counts)
        if has_tripped and self._on_trip is not None:
            self._on_trip()


def _fields(observation: Observation) -> Iterable[str]:
    """Yield the fields that this observation increments."""
    yield "requests"
    yield LATENCY_FIELDS[bucket_number(observation.ms)]
    if observation.is_error:
        yield "errors"
    if observation.is_hit is not None:
        yield "hits" if observation.is_hit else "misses"
    if observation.is_same is not None:
        yield "compared"
        if not observation.is_same:
            yield "mismatches"


def read_counts(rollout: str, arm: Arm, visit: StageVisit) -> Counts:
    """Return the counts of the visit, or of its window if it has one. Raises redis.RedisError."""
    with client().pipeline(transaction=False) as pipeline:
        if visit.window_seconds:
            slot = int(client().time()[0]) // SLOT_SECONDS
            for slots_ago in range(round(visit.window_seconds / SLOT_SECONDS) + 1):
                pipeline.hgetall(f"{_slots_prefix(rollout, visit.first_epoch, arm)}{slot - slots_ago}")
        else:
            for epoch in range(visit.first_epoch, visit.epoch + 1):
                pipeline.hgetall(_totals_key(rollout, epoch, arm))
        hashes: list[dict[bytes, bytes]] = pipeline.execute()
    return _add_hashes(hashes).counts


class ArmTotals(NamedTuple):
    """The counts of an arm over all epochs, and the sum of its latencies in seconds."""

    counts: Counts
    latency_seconds: float


def read_totals(rollouts: Iterable[str]) -> dict[tuple[str, Arm], ArmTotals]:
    """Return what was ever counted, by rollout and arm, in one round trip. Raises redis.RedisError."""
    arms = [(rollout, arm) for rollout in rollouts for arm in Arm]
    with client().pipeline(transaction=False) as pipeline:
        for rollout, arm in arms:
            pipeline.hgetall(_all_epochs_key(rollout, arm))
        hashes: list[dict[bytes, bytes]] = pipeline.execute()
    return {each: _add_hashes([fields]) for each, fields in zip(arms, hashes, strict=True)}


def _add_hashes(hashes: Iterable[Mapping[bytes, bytes]]) -> ArmTotals:
    totals: Counter[str] = Counter()
    for fields in hashes:
        totals.update({name.decode(): int(count) for name, count in fields.items()})
    latencies = {
        int(name.removeprefix(LATENCY_PREFIX)): count
        for name, count in totals.items()
        if name.startswith(LATENCY_PREFIX)
    }
    counts = Counts(**{name: totals[name] for name in COUNT_FIELDS}, latencies=latencies)
    return ArmTotals(counts, totals[MICROSECONDS] / 1e6)


def _totals_prefix(rollout: str) -> str:
    return key(f"metrics:{rollout}:")


def _totals_key(rollout: str, epoch: int, arm: Arm) -> str:
    return f"{_totals_prefix(rollout)}{epoch}:{arm.value}"


def _all_epochs_key(rollout: str, arm: Arm) -> str:
    return key(f"metrics-all:{rollout}:{arm.value}")


def _slots_prefix(rollout: str, first_epoch: int, arm: Arm) -> str:
    return key(f"metrics-slot:{rollout}:{first_epoch}:{arm.value}:")
