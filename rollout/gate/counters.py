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

import mmh3
import orjson
import redis
import structlog

from core.redis import client, key
from rollout.decisions.record import SLOT_SECONDS
from rollout.decisions.stages import Arm
from rollout.gate.counting.observation import Observation, StageVisit
from rollout.gate.counting.sums import Sums, sum_up
from rollout.gate.marks import trip_key
from rollout.gate.scripts import ADD_COUNTS
from rollout.gate.slots import (
    LIFE_SECONDS,
    slots_prefix,
    totals_prefix,
    visit_key,
)

ADDED_UP_AFTER = 500  # observations; Python collects garbage after 700 new objects, and more often if many are kept
KEYS_AT_MOST = 4_096  # targeting keys of a visit that are sent to see which arm they got; as many as Redis keeps
METRIC_NAMES_AT_MOST = 100  # names of own metrics of a rollout in one process; a name with an id in it has no end
FAILING_AT_MOST = 10_000  # targeting keys that fail in one batch; errors of further ones count one by one
log = structlog.get_logger("slipway.gate")


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
    """The counts of one process. Threads share it; `observe` takes no lock but for one call in some hundreds.

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
        self._metric_names: dict[str, set[str]] = {}  # of own metrics, by rollout
        self.wake = threading.Event()  # set if an observation should be sent at once

    def observe(self, observation: Observation) -> None:
        """Count one call of an arm. The caller has validated it."""
        self._observations.append(observation)
        if observation.is_error and observation.arm is Arm.CANDIDATE:
            self.wake.set()
        if len(self._observations) > ADDED_UP_AFTER:
            with self._lock:
                self._add_up()

    def takes_metrics(self, rollout: str, metrics: Mapping[str, float | bool]) -> bool:
        """Return whether these own metrics can be counted, and remember their names.

        They cannot if the rollout would have more than METRIC_NAMES_AT_MOST (100) names in this process: the control
        loop reads all of them at each tick.
        """
        known = self._metric_names.get(rollout, set())
        if known.issuperset(metrics):
            return True
        names = known.union(metrics)
        if len(names) > METRIC_NAMES_AT_MOST:
            return False
        self._metric_names[rollout] = names
        return True

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
        observations = [self._observations.popleft() for _ in range(len(self._observations))]
        try:
            sums = sum_up(observations)
        except Exception:  # one observation must not cost the others
            sums = [each for observation in observations for each in self._sum_alone(observation)]
        for each in sums:
            self._add(each)

    def _sum_alone(self, observation: Observation) -> list[Sums]:
        try:
            return sum_up([observation])
        except Exception as error:
            log.exception("an observation was dropped", rollout=observation.rollout, reason=type(error).__name__)
            return [Sums(observation.rollout, observation.visit, observation.arm, {"dropped": 1}, {})]

    def _of_visit(self, rollout: str, visit: StageVisit) -> VisitCounts:
        counts = self._counts.get((rollout, visit.id))
        if counts is None:
            counts = self._counts[rollout, visit.id] = VisitCounts(visit)
        return counts

    def _add(self, sums: Sums) -> None:
        """Add sums to what is not sent yet. It raises nothing, so that they are added as a whole."""
        counts, place = self._of_visit(sums.rollout, sums.visit), (sums.visit.step, sums.arm.value)
        for name, number in sums.numbers.items():
            counts.numbers[f"{place[0]}:{place[1]}:{name}"] += number  # type: ignore[assignment]
        for (targeting_key, is_error), calls in sums.keys.items():
            if is_error:
                _add_failing(counts, place, targeting_key, calls)
            if 0 < sums.visit.step < 100:
                self._add_seen(counts, place, targeting_key)

    def _add_seen(self, counts: VisitCounts, place: tuple[int, str], targeting_key: str) -> None:
        """Note a targeting key that this process sees for the first time in a percent step."""
        seen = self._seen.setdefault(f"{counts.visit.id}:{place[0]}", set())
        if len(seen) < KEYS_AT_MOST and (hashed := _hash(targeting_key)) not in seen:
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
            visit.attempt,
            -1 if limit is None else limit,
            -1 if visit.first_requests is None else visit.first_requests,
            round((visit.window_seconds or 0) / SLOT_SECONDS),
            int(visit.id in self._sent),
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


def _add_failing(counts: VisitCounts, place: tuple[int, str], targeting_key: str, calls: int) -> None:
    """Note a targeting key that fails; calls: the number of its errors."""
    if len(counts.failing[place]) < FAILING_AT_MOST:
        counts.failing[place].add(_hash(targeting_key))
    else:
        counts.numbers[f"{place[0]}:{place[1]}:failing"] += calls


def _hash(targeting_key: str) -> int:
    return mmh3.hash(targeting_key.encode("utf-8", "surrogatepass"))
