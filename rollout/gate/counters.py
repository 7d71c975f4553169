"""The observations of a rollout's arms: counted in memory, and sent to Redis every second.

An error of the candidate is sent at once. Counts belong to a stage visit and its percent step, and Redis adds them up
in slots of ten seconds. One script counts both arms and trips the rollout if its errors exceed their limit, so that no
tick is needed for a trip. Without Redis, counts stay in memory, whose size does not grow with the observations.
"""

import threading
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import mmh3
import orjson
import redis
import structlog

from core.redis import client, key
from rollout.decisions.latency import LARGEST_BUCKET, bucket_number
from rollout.decisions.record import SLOT_SECONDS
from rollout.decisions.stages import Arm
from rollout.gate.marks import trip_key
from rollout.gate.scripts import ADD_COUNTS
from rollout.gate.slots import (
    LATENCY_PREFIX,
    LIFE_SECONDS,
    MICROSECONDS,
    OWN_PARTS,
    OWN_PREFIX,
    slots_prefix,
    totals_prefix,
    visit_key,
)

ADDED_UP_AFTER = 5_000  # observations
KEYS_AT_MOST = 4_096  # targeting keys of a visit that are sent to see which arm they got; as many as Redis keeps
FAILING_AT_MOST = 10_000  # targeting keys that fail in one batch; errors of further ones count one by one
LATENCY_FIELDS = [f"{LATENCY_PREFIX}{number}" for number in range(LARGEST_BUCKET + 1)]
log = structlog.get_logger("slipway.gate")


@dataclass(frozen=True, slots=True)
class StageVisit:
    """The visit of a rollout to a stage, as far as counting needs it.

    id: names the visit; a rollout that enters a stage begins a new one.
    attempt: names the time from a start to the next start, abort or trip.
    step: the share that the candidate serves, 0 to 100, which names the percent step.
    errors_at_most: the hard limit of the candidate's errors; None if there is none.
    first_requests: the hard limit judges so many requests of the candidate; None: always.
    window_seconds: the length of the window of a limit that always judges; None: the whole visit.
    """

    id: str
    attempt: str = ""
    epoch: int = 0
    step: int = 0
    errors_at_most: int | None = None
    first_requests: int | None = None
    window_seconds: float | None = None


class Observation(NamedTuple):
    """The effects of one call of an arm.

    ms: its latency.
    is_hit: whether a cache had the value; None if no cache was looked up.
    is_same: whether the value equals control's; None if the two were not compared.
    key: the targeting key, if it is known.
    metrics: the application's own metrics.
    is_alone: whether the candidate could not run beside this call of control.
    has_compare_failed: whether the two values could not be compared.
    """

    rollout: str
    visit: StageVisit
    arm: Arm
    ms: float
    is_error: bool = False
    is_hit: bool | None = None
    is_same: bool | None = None
    key: str | None = None
    metrics: Mapping[str, float | bool] | None = None
    is_alone: bool = False
    has_compare_failed: bool = False


@dataclass(slots=True)
class VisitCounts:
    """The counts of one visit that are not sent yet.

    numbers: by "step:arm:count". failing, seen: targeting keys, hashed, by step and arm.
    """

    visit: StageVisit
    numbers: Counter[str] = field(default_factory=Counter)
    failing: dict[tuple[int, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    seen: dict[tuple[int, str], set[int]] = field(default_factory=lambda: defaultdict(set))


@dataclass(frozen=True, slots=True)
class Batch:
    """Counts on their way to Redis. A batch that may or may not have arrived is sent again under the same id."""

    id: str
    rollout: str
    counts: VisitCounts


class Counters:
    """The counts of one process. Threads share it; `observe` takes no lock but for one call in some thousands.

    visit_of: returns a rollout's present stage visit by its name, or None if the rollout is unknown.
    on_trip: is called with the rollout's name after a batch that tripped it.
    """

    def __init__(
        self, visit_of: Callable[[str], StageVisit | None], on_trip: Callable[[str], object] | None = None
    ) -> None:
        self._visit_of, self._on_trip = visit_of, on_trip
        self._observations: deque[Observation] = deque()
        self._counts: dict[tuple[str, str], VisitCounts] = {}
        self._batch: Batch | None = None
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._sent: set[str] = set()  # visits that this process has counted in
        self._seen: dict[str, set[int]] = {}  # targeting keys that were sent, by visit and step
        self._reasons: set[str] = set()
        self.wake = threading.Event()  # set if an observation should be sent at once

    def observe(self, observation: Observation) -> None:
        """Count one call of an arm. The caller has validated it."""
        self._observations.append(observation)
        if observation.is_error and observation.arm is Arm.CANDIDATE:
            self.wake.set()
        if len(self._observations) > ADDED_UP_AFTER:
            with self._lock:
                self._add_up()

    def drop(self, rollout: str, visit: StageVisit, arm: Arm, reason: str) -> None:
        """Count an observation that cannot be used. The first one with this reason is logged."""
        if reason not in self._reasons and len(self._reasons) < 100:
            self._reasons.add(reason)
            log.warning("an observation was dropped; fix the caller", rollout=rollout, arm=arm.value, reason=reason)
        with self._lock:
            self._of_visit(rollout, visit).numbers[f"{visit.step}:{arm.value}:dropped"] += 1

    def flush(self) -> bool:
        """Send what was counted. Return whether Redis took all of it; the rest is sent the next time."""
        with self._sending:
            try:
                while self._next_batch():
                    self._send()
            except redis.RedisError:
                return False
            return True

    def _next_batch(self) -> bool:
        """Take the counts of one visit to be sent, unless a batch waits already. Return whether there is one."""
        with self._lock:
            self._add_up()
            if self._batch is None and self._counts:
                (rollout, _), counts = self._counts.popitem()
                self._batch = Batch(uuid.uuid4().hex, rollout, counts)
        return self._batch is not None

    def _add_up(self) -> None:
        for _ in range(len(self._observations)):
            observation = self._observations.popleft()
            try:
                self._add(observation)
            except Exception as error:  # one observation must not cost the others
                place = f"{observation.visit.step}:{observation.arm.value}:dropped"
                self._of_visit(observation.rollout, observation.visit).numbers[place] += 1
                log.exception("an observation was dropped", rollout=observation.rollout, reason=type(error).__name__)

    def _of_visit(self, rollout: str, visit: StageVisit) -> VisitCounts:
        counts = self._counts.get((rollout, visit.id))
        if counts is None:
            counts = self._counts[rollout, visit.id] = VisitCounts(visit)
        return counts

    def _add(self, observation: Observation) -> None:
        counts, visit = self._of_visit(observation.rollout, observation.visit), observation.visit
        arm = observation.arm.value
        added = [f"{visit.step}:{arm}:{name}" for name in _names(observation)]
        numbers = counts.numbers
        for name in added:
            numbers[name] += 1
        numbers[f"{visit.step}:{arm}:{MICROSECONDS}"] += round(observation.ms * 1000)
        for metric, value in (observation.metrics or {}).items():
            for part, number in zip(OWN_PARTS, (1, value, value * value), strict=True):
                numbers[f"{visit.step}:{arm}:{OWN_PREFIX}{metric}:{part}"] += number  # type: ignore[assignment]
        if observation.key is not None:
            self._add_key(counts, (visit.step, arm), observation.key, is_error=observation.is_error)
        elif observation.is_error:
            numbers[f"{visit.step}:{arm}:failing"] += 1

    def _add_key(self, counts: VisitCounts, place: tuple[int, str], targeting_key: str, *, is_error: bool) -> None:
        """Note a targeting key that fails, or that this process sees for the first time in a percent step."""
        hashed = mmh3.hash(targeting_key.encode("utf-8", "surrogatepass"))
        if is_error and len(counts.failing[place]) < FAILING_AT_MOST:
            counts.failing[place].add(hashed)
        elif is_error:
            counts.numbers[f"{place[0]}:{place[1]}:failing"] += 1
        if not 0 < place[0] < 100:
            return
        seen = self._seen.setdefault(f"{counts.visit.id}:{place[0]}", set())
        if len(seen) < KEYS_AT_MOST and hashed not in seen:
            seen.add(hashed)
            counts.seen[place].add(hashed)

    def _send(self) -> None:
        batch = self._batch
        assert batch is not None  # noqa: S101 - `_next_batch` comes first
        rollout, visit, counts = batch.rollout, batch.counts.visit, batch.counts
        present = self._visit_of(rollout)
        is_present = present is not None and present.id == visit.id
        if present is not None and is_present:
            visit = present  # with the limit that holds now
        limit = visit.errors_at_most if is_present else None  # a visit that is over counts, but never trips
        keys = [
            visit_key(visit.id),
            slots_prefix(visit.id),
            key(f"metrics-sent:{batch.id}"),
            trip_key(visit.attempt),
            key("rollouts"),
            key(f"failing:{visit.id}:"),
            key(f"keys:{visit.id}:"),
            totals_prefix(rollout),
        ]
        arguments: list[str | int | bytes] = [
            SLOT_SECONDS,
            LIFE_SECONDS,
            visit.epoch,
            -1 if limit is None else limit,
            -1 if visit.first_requests is None else visit.first_requests,
            round((visit.window_seconds or 0) / SLOT_SECONDS),
            int(visit.id in self._sent),
            rollout,
            orjson.dumps(counts.numbers),
            orjson.dumps(_key_lists(counts.failing)),
            orjson.dumps(_key_lists(counts.seen)),
        ]
        has_tripped = client().eval(ADD_COUNTS, len(keys), *keys, *arguments)
        self._batch = None
        self._forget_old_visits(rollout, visit)
        if has_tripped and self._on_trip is not None:
            self._on_trip(rollout)

    def _forget_old_visits(self, rollout: str, visit: StageVisit) -> None:
        """Note that this process counts in the visit, and forget the visits of long ago."""
        if len(self._sent) > 1000:
            self._sent.clear()
        if len(self._seen) > 100:
            self._seen.clear()
        self._sent.add(visit.id)


def _key_lists(keys: Mapping[tuple[int, str], set[int]]) -> list[list[int | str]]:
    return [[step, arm, *hashes] for (step, arm), hashes in keys.items() if hashes]


def _names(observation: Observation) -> list[str]:
    """Return the counts that this observation increments."""
    names = ["requests", LATENCY_FIELDS[bucket_number(observation.ms)]]
    if observation.is_error:
        names.append("errors")
    if observation.is_hit is not None:
        names.append("hits" if observation.is_hit else "misses")
    if observation.is_same is not None:
        names.append("compared")
        if not observation.is_same:
            names.append("mismatches")
    if observation.has_compare_failed:
        names.append("uncompared")
    if observation.is_alone:
        names.append("alone")
    return names
