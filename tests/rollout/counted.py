"""What Redis holds of a stage visit, added up; and slots that close before their time."""

from dataclasses import replace
from functools import reduce
from operator import add

import msgspec

from core.redis import client, key
from rollout.decisions.counts import Arms, Counts
from rollout.decisions.record import SLOTS_PER_MINUTE
from rollout.decisions.stages import Arm
from rollout.gate.counting.observation import StageVisit
from rollout.gate.slots import VisitQuery, read_visits
from rollout.models import VisitEvidence


def read_arms(visit: StageVisit) -> Arms:
    """Return the counts of both arms over all slots and percent steps."""
    [read] = read_visits([VisitQuery(visit.id, visit.attempt, -1)])
    return reduce(add, (arms for steps in read.slots.values() for arms in steps.values()), Arms())


def read_counts(arm: Arm, visit: StageVisit) -> Counts:
    """Return the counts of one arm."""
    arms = read_arms(visit)
    return arms.candidate if arm is Arm.CANDIDATE else arms.control


def close_slots(slots: int = 1) -> None:
    """Let ten seconds pass for everything that was counted, so that the slot that is open now is closed."""
    found = set(client().scan_iter(key("slot:*"), count=1000))  # a scan may return a key twice
    names = [name.decode().rpartition(":") for name in found]
    for prefix, _, slot in sorted(names, key=lambda name: int(name[2])):  # an earlier slot makes place for the next
        client().rename(f"{prefix}:{slot}", f"{prefix}:{int(slot) - slots}")
    for row in VisitEvidence.objects.all():
        record = row.decoded()
        minutes = {minute - slots // SLOTS_PER_MINUTE: arms for minute, arms in record.minutes.items()}
        row.record = msgspec.json.encode(replace(record, slot=record.slot - slots, minutes=minutes))
        row.save(update_fields=["record"])
