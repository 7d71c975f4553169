"""The counts of all processes, as Redis holds them: the slots of stage visits, and totals over all visits."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.redis import PATIENT_SECONDS, client, key
from rollout.decisions.counts import COUNT_FIELDS, Arms, Counts, Moments
from rollout.decisions.record import SLOT_SECONDS
from rollout.decisions.stages import Arm
from rollout.gate.marks import errors_of, trip_key
from rollout.gate.scripts import NOTE_TICK, READ_SLOTS

LIFE_SECONDS = 400 * 86400
WRITE_SECONDS = 60  # the lifetime of the key that shows that Redis takes writes
LATENCY_PREFIX = "b"  # of the field that counts a latency bucket; the bucket's number follows
MICROSECONDS = "us"  # the field that adds the latencies up
OWN_PREFIX = "own:"  # of the fields of an own metric; its name and one of the following parts come after it
OWN_PARTS = ("n", "total", "squares")


class VisitQuery(NamedTuple):
    """The visit to read. slot: the newest one that was read already."""

    visit: str
    attempt: str
    slot: int


@dataclass(frozen=True, slots=True)
class VisitSlots:
    """The counts of a stage visit since a slot, and what was noted of the visit.

    open_slot: the number of the present slot, which is not closed yet.
    noted_tick: the number of the last tick that judged this visit; None if Redis has none, or no visit.
    is_lost: whether a process found that its earlier counts are gone.
    trip_errors: the errors that tripped the rollout; 0 if it did not trip.
    slots: the counts by slot and percent step.
    """

    open_slot: int
    noted_tick: int | None
    is_lost: bool
    trip_errors: int
    slots: Mapping[int, Mapping[int, Arms]]


def read_visits(queries: Sequence[VisitQuery]) -> list[VisitSlots]:
    """Return what was counted in each visit, in one round trip. Raises redis.RedisError.

    A Redis that refuses writes raises it too: its memory or its disk is full, and it takes no counts, so what it holds
    is not what happened.
    """
    with client(PATIENT_SECONDS).pipeline(transaction=False) as pipeline:
        pipeline.set(key("takes-counts"), 1, ex=WRITE_SECONDS)
        for query in queries:
            keys = (visit_key(query.visit), slots_prefix(query.visit), trip_key(query.attempt))
            pipeline.eval(READ_SLOTS, len(keys), *keys, SLOT_SECONDS, query.slot)
        return [_visit_slots(*answer) for answer in pipeline.execute()[1:]]


class JudgedVisit(NamedTuple):
    """A visit that a tick has judged.

    tick: the number of the tick. If Redis has none later, it lost the visit. If it has a higher number than the
        table's row, the database was restored to an earlier time.
    is_tick_noted: whether Redis had the number of an earlier tick. If it is gone now, the visit was lost since it was
        read.
    """

    visit: str
    tick: int
    is_tick_noted: bool


def note_ticks(judged: Iterable[JudgedVisit]) -> None:
    """Note in each visit the number of the tick that judged it, in one round trip. Raises redis.RedisError."""
    with client(PATIENT_SECONDS).pipeline(transaction=False) as pipeline:
        for each in judged:
            pipeline.eval(NOTE_TICK, 1, visit_key(each.visit), each.tick, int(each.is_tick_noted), LIFE_SECONDS)
        pipeline.execute()


def _visit_slots(
    open_slot: int, tick: bytes | None, lost: bytes | None, trip: bytes | None, *slots_and_fields: Any
) -> VisitSlots:
    slots = {
        number: parse_slot(dict(zip(fields[::2], fields[1::2], strict=True)))
        for number, fields in zip(slots_and_fields[::2], slots_and_fields[1::2], strict=True)
    }
    return VisitSlots(open_slot, None if tick is None else int(tick), lost is not None, errors_of(trip), slots)


def parse_slot(fields: Mapping[bytes, bytes]) -> dict[int, Arms]:
    """Return the counts of a slot by percent step."""
    numbers: dict[tuple[int, str], dict[str, float]] = defaultdict(dict)
    for field, value in fields.items():
        place, arm, name = field.decode().split(":", 2)
        numbers[int(place), arm][name] = float(value)
    steps: dict[int, Arms] = {}
    for step in {step for step, _ in numbers}:
        candidate, control = (parse_counts(numbers.get((step, arm.value), {})) for arm in (Arm.CANDIDATE, Arm.CONTROL))
        steps[step] = Arms(candidate, control)
    return steps


def parse_counts(numbers: Mapping[str, float]) -> Counts:
    """Return the counts of an arm from the fields of a hash."""
    own: dict[str, dict[str, float]] = defaultdict(dict)
    latencies: dict[int, int] = {}
    for name, number in numbers.items():
        if name.startswith(OWN_PREFIX):
            metric, part = name.removeprefix(OWN_PREFIX).rsplit(":", 1)
            own[metric][part] = number
        elif name.startswith(LATENCY_PREFIX):
            latencies[int(name.removeprefix(LATENCY_PREFIX))] = int(number)
    return Counts(
        **{name: int(numbers.get(name, 0)) for name in COUNT_FIELDS},
        latencies=latencies,
        own={
            metric: Moments(int(parts.get("n", 0)), parts.get("total", 0.0), parts.get("squares", 0.0))
            for metric, parts in own.items()
        },
    )


class ArmTotals(NamedTuple):
    """The counts of an arm over all visits, and the sum of its latencies in seconds."""

    counts: Counts
    latency_seconds: float


def read_totals(rollouts: Iterable[str]) -> dict[tuple[str, Arm], ArmTotals]:
    """Return what was ever counted, by rollout and arm, in one round trip. Raises redis.RedisError."""
    arms = [(rollout, arm) for rollout in rollouts for arm in Arm]
    with client().pipeline(transaction=False) as pipeline:
        for rollout, arm in arms:
            pipeline.hgetall(totals_prefix(rollout) + arm.value)
        hashes: list[dict[bytes, bytes]] = pipeline.execute()
    return {each: _arm_totals(fields) for each, fields in zip(arms, hashes, strict=True)}


def _arm_totals(fields: Mapping[bytes, bytes]) -> ArmTotals:
    numbers = {name.decode(): float(count) for name, count in fields.items()}
    return ArmTotals(parse_counts(numbers), numbers.get(MICROSECONDS, 0.0) / 1e6)


def visit_key(visit: str) -> str:
    return key(f"visit:{visit}")


def slots_prefix(visit: str) -> str:
    return key(f"slot:{visit}:")


def totals_prefix(rollout: str) -> str:
    return key(f"metrics-all:{rollout}:")
