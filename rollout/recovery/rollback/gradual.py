"""The gradual way back: one step down at a time, a hold at each with the guards watching. It changes no data.

Beat's task drives it, and so does whoever follows it in a terminal: whoever has the run's row for a moment looks what
is to be done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.db import transaction
from django.db.models.functions import Now

from core.access.actors import Machine
from core.text import duration
from rollout.choices import RunKind, RunOutcome, Stage
from rollout.control import loop
from rollout.decisions.stages import ORDER
from rollout.gate import counters
from rollout.models import RecoveryRun, RecoveryStep, Rollout, Transition
from rollout.operations import lifecycle
from rollout.recovery import runner

HOLD = timedelta(minutes=3)  # at pace 1
SHARES = (50, 25, 10)  # percent


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rollout stands, from low to high."""

    stage: Stage
    percent: int = 0  # of PARTIAL_ACTIVE alone

    @property
    def height(self) -> tuple[int, int]:
        return ORDER.index(self.stage), self.percent if self.stage is Stage.PARTIAL_ACTIVE else 0

    @property
    def name(self) -> str:
        return f"{self.stage.value} {self.percent} %" if self.percent else self.stage.value

    @property
    def label(self) -> str:
        return f"{self.stage.label}, {self.percent} %" if self.percent else self.stage.label


LADDER = (
    *(Place(Stage.PARTIAL_ACTIVE, percent) for percent in SHARES),
    Place(Stage.SHADOW_MODE),
    Place(Stage.DARK_MODE),
    Place(Stage.DISABLED),
)


LABELS = {place.name: place.label for place in LADDER}


def foreseen(pace: float) -> dict[str, str]:
    """Each place, and what is done there; where nobody has to move nothing is."""
    hold = f"held for {duration(HOLD.total_seconds() * pace)} while the guards watch"
    return {place.name: f"whoever stands higher goes to {place.label}; {hold}" for place in LADDER}


def time_left(step: RecoveryStep, pace: float, now: datetime) -> timedelta:
    """Of its hold."""
    paused = timedelta(seconds=step.evidence.get("paused_seconds", 0))
    return HOLD * pace - (now - step.started_at - paused)


@transaction.atomic
def drive(run: RecoveryRun) -> RunOutcome | None:
    """Do what is due. Returns DONE when the last hold is over, CUT_SHORT when a guard fell, else RUNNING; None where
    somebody else is at it, or it is paused or over.
    """
    found = RecoveryRun.objects.select_for_update(skip_locked=True).filter(pk=run.pk, outcome=RunOutcome.RUNNING)
    if (run_now := found.first()) is None:
        return None
    if fell := _fell(run_now):
        _cut_short(run_now, fell)
        return RunOutcome.CUT_SHORT
    steps = list(run_now.steps.filter(name__in=[place.name for place in LADDER]).order_by("pk"))
    if steps and steps[-1].ended_at is None:
        if time_left(steps[-1], run_now.pace, loop.database_now(run)) > timedelta(0):
            return RunOutcome.RUNNING
        evidence = steps[-1].evidence | {"guards": _guards(steps[-1].evidence["moved"])}
        RecoveryStep.objects.filter(pk=steps[-1].pk).update(outcome=RunOutcome.DONE, ended_at=Now(), evidence=evidence)
    return _descend(run_now, {step.name for step in steps})


def _cut_short(run: RecoveryRun, fell: Sequence[str]) -> None:
    """Into a standard one, which the workers carry out."""
    runner.end(run, RunOutcome.CUT_SHORT)
    reason = f"{run} was cut short: a guard fell, of {', '.join(fell)}"
    runner.begin(RunKind.STANDARD, actor=Machine(run.actor), reason=reason, is_for_workers=True)


def _descend(run: RecoveryRun, done: set[str]) -> RunOutcome:
    """To the next place that somebody stands above; nobody waits where nobody had to move."""
    for place in LADDER:
        if place.name in done:
            continue
        moved = _move_to(place, run)
        is_over = {} if moved else {"outcome": RunOutcome.DONE, "ended_at": Now()}
        RecoveryStep.objects.create(run=run, name=place.name, evidence={"moved": moved}, **is_over)
        if moved:
            return RunOutcome.RUNNING
    return RunOutcome.DONE


def _guards(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """How they judge these rollouts as their hold ends."""
    standing = Rollout.objects.filter(name__in=names).exclude(stage=Stage.DISABLED)
    return {
        rollout.name: {one.guard.value: one.verdict.value for one in loop.look(rollout).judged} for rollout in standing
    }


def _move_to(place: Place, run: RecoveryRun) -> list[str]:
    moved = []
    for rollout in Rollout.objects.exclude(stage=Stage.DISABLED).select_for_update().order_by("pk"):
        if Place(Stage(rollout.stage), rollout.percent).height > place.height:
            lifecycle.descend(rollout, place.stage, place.percent, actor=Machine(run.actor), reason=str(run))
            moved.append(rollout.name)
    return moved


def _fell(run: RecoveryRun) -> Sequence[str]:
    """Rollouts of which a guard fell since it began, written down or not."""
    tripped = Transition.objects.filter(verb="trip", at__gt=run.started_at).values_list("rollout__name", flat=True)
    fell = set(tripped)
    for rollout in Rollout.objects.exclude(stage=Stage.DISABLED):
        try:
            if counters.fell(rollout.name, rollout.settled_epoch):
                fell.add(rollout.name)
        except redis.RedisError:  # without it nobody can tell, and gates serve control
            break
    return sorted(fell)


@transaction.atomic
def pause(run: RecoveryRun, note: str) -> bool:
    """Its hold stands still; the note is added to its reason. Returns whether it ran."""
    found = RecoveryRun.objects.select_for_update().filter(pk=run.pk, kind=RunKind.GRADUAL, outcome=RunOutcome.RUNNING)
    if (now := found.first()) is None:
        return False
    for step in run.steps.filter(ended_at=None):
        step.evidence["paused_at"] = loop.database_now(run).isoformat()
        step.save(update_fields=["evidence"])
    RecoveryRun.objects.filter(pk=run.pk).update(outcome=RunOutcome.PAUSED, reason=_also(now, note))
    return True


@transaction.atomic
def resume(run: RecoveryRun, note: str) -> bool:
    """Returns whether it was paused."""
    found = RecoveryRun.objects.select_for_update().filter(pk=run.pk, outcome=RunOutcome.PAUSED)
    if (now := found.first()) is None:
        return False
    for step in run.steps.filter(ended_at=None, evidence__has_key="paused_at"):
        length = loop.database_now(run) - datetime.fromisoformat(step.evidence.pop("paused_at"))
        step.evidence["paused_seconds"] = step.evidence.get("paused_seconds", 0) + length.total_seconds()
        step.save(update_fields=["evidence"])
    RecoveryRun.objects.filter(pk=run.pk).update(outcome=RunOutcome.RUNNING, reason=_also(now, note))
    return True


def _also(run: RecoveryRun, note: str) -> str:
    return f"{run.reason}; {note}".removeprefix("; ")
