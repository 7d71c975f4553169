"""The measurements of rollouts: their stored records, continued with what Redis holds since. It changes nothing.

All rollouts are read together, in a fixed number of queries and one round trip to Redis. So a tick takes about as long
with hundreds of rollouts as with one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import redis
from django.db.models.functions import Now

from core.switches import Part
from rollout.choices import Consequence, Guard, Stage
from rollout.control import feeds
from rollout.decisions.guards import Rule, Setting
from rollout.decisions.judging import Feeds, Measurements
from rollout.decisions.record import VisitRecord, with_counts, with_slot
from rollout.decisions.stages import serving_at
from rollout.decisions.trips import hard_limit
from rollout.gate.slots import VisitQuery, VisitSlots, read_visits
from rollout.models import Activation, Rollout, StagePolicy, VisitEvidence

LOST = "measurements of this stage were lost in Redis"
RESTORED = "the database was restored to a time before its last measurements"


@dataclass(frozen=True, slots=True)
class Measured:
    """A rollout with its policy, and what was measured in its stage visit up to one moment.

    stored: the record as the last tick of this visit stored it; empty if there was none.
    tick: the number of the tick that stored a record of the rollout last; 0: none did.
    judged_at, read_at: when the last tick judged this visit, and when its readings were stored; None: never.
    trip_errors: the errors that tripped the rollout; 0 if it did not trip.
    now: the time of the database's clock.
    """

    rollout: Rollout
    policy: StagePolicy
    rules: Sequence[Rule]
    setting: Setting
    measurements: Measurements
    stored: VisitRecord
    tick: int
    judged_at: datetime | None
    read_at: datetime | None
    trip_errors: int
    is_serving: bool
    is_advancing: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The facts that all rollouts have in common at one moment."""

    feeds: Feeds | None
    is_serving: bool
    is_advancing: bool
    now: datetime

    @classmethod
    def read(cls) -> Self:
        """Return the present facts."""
        switches = dict(Activation.objects.values_list("part", "is_on"))
        now: datetime = Activation.objects.values_list(Now(), flat=True)[:1].get()
        return cls(feeds.read_feeds(), switches.get(Part.SERVING, False), switches.get(Part.ADVANCING, False), now)


def measure(rollouts: Sequence[Rollout]) -> list[Measured | Exception]:
    """Return the measurements of each rollout, or why it cannot be measured.

    Without Redis nothing is measured, and the guards report that.
    """
    policies = _read_policies(rollouts)
    surroundings = Surroundings.read()
    stored = _read_stored(rollouts)
    slots = _read_slots(rollouts, stored)
    suspicious = [rollout for rollout in rollouts if _is_behind(stored.get(rollout.pk), slots.get(rollout.pk))]
    if suspicious:  # or another worker has just stored a newer one
        stored |= _read_stored(suspicious)
    measured: list[Measured | Exception] = []
    for rollout in rollouts:
        try:
            if (policy := policies.get(rollout.pk)) is None:
                raise StagePolicy.DoesNotExist(f"{rollout.name} has no policy for {rollout.stage}")
            measured.append(_measured(rollout, policy, stored.get(rollout.pk), slots.get(rollout.pk), surroundings))
        except Exception as error:  # a rollout that cannot be judged must not delay the others
            measured.append(error)
    return measured


def _read_policies(rollouts: Sequence[Rollout]) -> dict[int, StagePolicy]:
    """Return the policy of each rollout's stage with its guards, by rollout; a rollout without one is absent."""
    stages = {rollout.pk: rollout.stage for rollout in rollouts}
    policies = StagePolicy.objects.filter(rollout__in=stages, stage__in=set(stages.values())).prefetch_related("guards")
    return {policy.rollout_id: policy for policy in policies if policy.stage == stages[policy.rollout_id]}


def _read_stored(rollouts: Iterable[Rollout]) -> dict[int, VisitEvidence]:
    """Return the row that each rollout has, by rollout. It may still be that of an earlier visit."""
    rows = VisitEvidence.objects.filter(pk__in=[rollout.pk for rollout in rollouts])
    return {row.pk: row for row in rows}


def _read_slots(rollouts: Sequence[Rollout], stored: Mapping[int, VisitEvidence]) -> dict[int, VisitSlots]:
    """Return what Redis holds, by rollout; nothing if it does not answer."""
    queries = []
    for rollout in rollouts:
        row = stored.get(rollout.pk)
        slot = row.decoded().slot if row and row.visit == rollout.visit else -1
        queries.append(VisitQuery(rollout.visit.hex, rollout.attempt.hex, slot))
    try:
        return dict(zip([rollout.pk for rollout in rollouts], read_visits(queries), strict=True))
    except redis.RedisError:
        return {}


def _is_behind(row: VisitEvidence | None, slots: VisitSlots | None) -> bool:
    """Return whether Redis knows a later tick of the visit than the table does."""
    return slots is not None and slots.noted_tick is not None and slots.noted_tick > (row.tick if row else 0)


def _measured(
    rollout: Rollout,
    policy: StagePolicy,
    row: VisitEvidence | None,
    slots: VisitSlots | None,
    surroundings: Surroundings,
) -> Measured:
    of_visit = row if row is not None and row.visit == rollout.visit else None
    stored = of_visit.decoded() if of_visit else VisitRecord()
    rules, setting = policy.rules(), setting_of(rollout, policy)
    record: VisitRecord | None = None
    counted = stored
    if slots is not None:
        record = with_closed_slots(stored, slots, rules, setting, policy.window_minutes)
        lost = record.lost or _loss(record, of_visit, slots)
        record = replace(record, lost=lost, is_tick_noted=record.is_tick_noted or slots.noted_tick is not None)
        # A slot without counts still ends the window of earlier ones.
        arms_by_step = slots.slots.get(slots.open_slot, {})
        counted = with_counts(record, slots.open_slot, arms_by_step, policy.window_minutes)
    return Measured(
        rollout=rollout,
        policy=policy,
        rules=rules,
        setting=setting,
        measurements=Measurements(record, counted, surroundings.feeds),
        stored=stored,
        tick=row.tick if row else 0,
        judged_at=of_visit.judged_at if of_visit else None,
        read_at=of_visit.read_at if of_visit else None,
        trip_errors=slots.trip_errors if slots else 0,
        is_serving=surroundings.is_serving,
        is_advancing=surroundings.is_advancing,
        now=surroundings.now,
    )


def with_closed_slots(
    record: VisitRecord, slots: VisitSlots, rules: Sequence[Rule], setting: Setting, window_minutes: float | None
) -> VisitRecord:
    """Return the record with each slot that is closed by now and not included yet."""
    for number in sorted(slots.slots):
        if record.slot < number < slots.open_slot:
            record = with_slot(record, number, slots.slots[number], rules, setting, window_minutes)
    return replace(record, slot=max(record.slot, slots.open_slot - 1))


def _loss(record: VisitRecord, of_visit: VisitEvidence | None, slots: VisitSlots) -> str:
    """Return why measurements of this visit are missing; empty if none are.

    of_visit: the row that the last tick of this visit stored; None if there was none.
    """
    if slots.is_lost:
        return LOST
    if slots.noted_tick is None:
        return LOST if record.is_tick_noted else ""
    stored_tick = of_visit.tick if of_visit else 0
    return RESTORED if slots.noted_tick > stored_tick else ""  # Redis knows a tick that the table does not


def setting_of(rollout: Rollout, policy: StagePolicy) -> Setting:
    """Return the circumstances in which the guards judge the rollout's stage visit."""
    stage = Stage(rollout.stage)
    percent = serving_at(stage, rollout.percent, policy.hold_back_percent).percent
    count = next((each for each in policy.rules() if each.guard is Guard.ERRORS), None)
    first_requests = first_requests_of(policy)
    limit = 0
    if count is not None:
        limit = hard_limit(int(count.at_most), first_requests, rollout.control_requests, rollout.control_errors)
    return Setting(
        stage=stage,
        percent=percent,
        is_compared=percent < 100,
        first_requests=first_requests,
        hard_limit=limit,
        slow_bucket=rollout.control_slow_bucket,
    )


def first_requests_of(policy: StagePolicy) -> int | None:
    """Return for how many requests of a visit the count of errors judges; None: always.

    It judges always if no rate of errors protects the stage.
    """
    protects = any(rule.guard is Guard.ERROR_RATE and rule.leads is not Consequence.WARN for rule in policy.rules())
    return policy.first_requests if protects else None
