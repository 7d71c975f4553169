"""The gradual rollback: the rollouts move down one step at a time, and hold at each while the guards watch.

It changes no data. Celery beat's task and each terminal that follows the run do its next step when it is due. The
process that locks the run's row does the work, and the others skip it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.db import transaction

from core.access.actors import Machine
from core.db.clock import database_now
from core.text import duration
from rollout.choices import RunKind, RunOutcome, Stage
from rollout.control.assessment import assess
from rollout.decisions.stages import ORDER
from rollout.gate import marks
from rollout.models import RecoveryRun, RecoveryStep, Rollout, Transition
from rollout.operations import lifecycle
from rollout.recovery import runner
from rollout.recovery.evidence import HeldStage

HOLD = timedelta(minutes=3)  # at each place, at pace 1
PERCENTS = (50, 25, 10)


@dataclass(frozen=True, slots=True)
class Place:
    """A stage, and within PARTIAL_ACTIVE a share of the traffic, at which a rollout can be.

    percent: 0 to 100; 0 in every stage but PARTIAL_ACTIVE.
    """

    stage: Stage
    percent: int = 0

    @property
    def height(self) -> tuple[int, int]:
        """The order of the places: a higher place serves more of the candidate."""
        return ORDER.index(self.stage), self.percent if self.stage is Stage.PARTIAL_ACTIVE else 0

    @property
    def name(self) -> str:
        return f"{self.stage.value} {self.percent} %" if self.percent else self.stage.value

    @property
    def label(self) -> str:
        return f"{self.stage.label}, {self.percent} %" if self.percent else self.stage.label


LADDER = (
    *(Place(Stage.PARTIAL_ACTIVE, percent) for percent in PERCENTS),
    Place(Stage.SHADOW_MODE),
    Place(Stage.DARK_MODE),
    Place(Stage.DISABLED),
)
LABELS = {place.name: place.label for place in LADDER}


def describe_ladder(pace: float) -> dict[str, str]:
    """Return for each place what the run does there. If no rollout is above a place, nothing happens there.

    pace: the factor of every hold.
    """
    hold = duration(HOLD.total_seconds() * pace)
    return {
        place.name: f"Move each rollout that is above it down to {place.label}; hold for {hold} while the guards watch"
        for place in LADDER
    }


def time_left(step: RecoveryStep, pace: float, now: datetime) -> timedelta:
    """Return the rest of the step's hold, without the time in which it was paused. It is negative after the hold."""
    paused = timedelta(seconds=step.evidence.get("paused_seconds", 0))
    return HOLD * pace - (now - step.started_at - paused)


@transaction.atomic
def take_due_step(run: RecoveryRun) -> RunOutcome | None:
    """Do what is due, and return the state of the run.

    Returns DONE if the last hold is over, CUT_SHORT if a guard tripped a rollout, else RUNNING. Returns None if another
    process does the step at the moment, or if the run is paused or has ended.
    """
    rows = RecoveryRun.objects.select_for_update(skip_locked=True).filter(pk=run.pk, outcome=RunOutcome.RUNNING)
    locked_run = rows.first()
    if locked_run is None:
        return None
    if tripped := _tripped_rollouts(locked_run):
        _cut_short(locked_run, tripped)
        return RunOutcome.CUT_SHORT
    steps = list(locked_run.steps.filter(name__in=LABELS).order_by("pk"))
    if steps and steps[-1].ended_at is None:
        if time_left(steps[-1], locked_run.pace, database_now(run)) > timedelta(0):
            return RunOutcome.RUNNING
        held: HeldStage = {"guards": _verdicts(steps[-1].evidence["moved"])}
        runner.end_step(locked_run, steps[-1].name, RunOutcome.DONE, steps[-1].evidence | held)
    return _descend(locked_run, {step.name for step in steps})


def _cut_short(run: RecoveryRun, tripped: Sequence[str]) -> None:
    """End the run, and begin a standard rollback, which the workers execute."""
    runner.end_run(run, RunOutcome.CUT_SHORT)
    reason = f"{run} was cut short: a guard tripped {', '.join(tripped)}"
    runner.begin_run(RunKind.STANDARD, actor=Machine(run.actor), reason=reason, is_for_workers=True)


def _descend(run: RecoveryRun, done: set[str]) -> RunOutcome:
    """Move the rollouts to the next place above which any of them is. Places without such a rollout end at once."""
    for place in LADDER:
        if place.name in done:
            continue
        held = HeldStage(moved=_move_to(place, run))
        RecoveryStep.objects.create(run=run, name=place.name, evidence=held)
        if held["moved"]:
            return RunOutcome.RUNNING
        runner.end_step(run, place.name, RunOutcome.DONE, dict(held))
    return RunOutcome.DONE


def _verdicts(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the verdict of each guard of these rollouts; disabled ones have none."""
    rollouts = Rollout.objects.filter(name__in=names).exclude(stage=Stage.DISABLED)
    return {
        rollout.name: {judged.name: judged.verdict.value for judged in assess(rollout).judgments}
        for rollout in rollouts
    }


def _move_to(place: Place, run: RecoveryRun) -> list[str]:
    moved = []
    for rollout in Rollout.objects.exclude(stage=Stage.DISABLED).select_for_update().order_by("pk"):
        if Place(Stage(rollout.stage), rollout.percent).height > place.height:
            lifecycle.descend(rollout, place.stage, place.percent, actor=Machine(run.actor), reason=str(run))
            moved.append(rollout.name)
    return moved


def _tripped_rollouts(run: RecoveryRun) -> Sequence[str]:
    """Return the rollouts that a guard tripped since the run began, also if no transition records the trip yet."""
    recorded = Transition.objects.filter(verb="trip", at__gt=run.started_at).values_list("rollout__name", flat=True)
    tripped = set(recorded)
    for rollout in Rollout.objects.exclude(stage=Stage.DISABLED):
        try:
            if marks.read_trip_errors(rollout.attempt.hex):
                tripped.add(rollout.name)
        except redis.RedisError:  # trips cannot be read; the gates answer control until Redis is back
            break
    return sorted(tripped)


@transaction.atomic
def pause_hold(run: RecoveryRun, note: str) -> bool:
    """Pause the run: its hold does not run out. Add the note to its reason. Return whether it was running."""
    rows = RecoveryRun.objects.select_for_update().filter(pk=run.pk, kind=RunKind.GRADUAL, outcome=RunOutcome.RUNNING)
    locked_run = rows.first()
    if locked_run is None:
        return False
    for step in run.steps.filter(ended_at=None):
        step.evidence["paused_at"] = database_now(run).isoformat()
        step.save(update_fields=["evidence"])
    RecoveryRun.objects.filter(pk=run.pk).update(outcome=RunOutcome.PAUSED, reason=_with_note(locked_run, note))
    return True


@transaction.atomic
def resume_hold(run: RecoveryRun, note: str) -> bool:
    """Let the rest of the hold run. Add the note to the run's reason. Return whether it was paused."""
    locked_run = RecoveryRun.objects.select_for_update().filter(pk=run.pk, outcome=RunOutcome.PAUSED).first()
    if locked_run is None:
        return False
    for step in run.steps.filter(ended_at=None, evidence__has_key="paused_at"):
        length = database_now(run) - datetime.fromisoformat(step.evidence.pop("paused_at"))
        step.evidence["paused_seconds"] = step.evidence.get("paused_seconds", 0) + length.total_seconds()
        step.save(update_fields=["evidence"])
    RecoveryRun.objects.filter(pk=run.pk).update(outcome=RunOutcome.RUNNING, reason=_with_note(locked_run, note))
    return True


def _with_note(run: RecoveryRun, note: str) -> str:
    return f"{run.reason}; {note}" if run.reason else note
