"""The context of recovery's pages: the levels with their last rehearsal, and a run's steps. Reads only."""

import json
from dataclasses import dataclass

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.access.actors import Actor
from core.console.badges import ago, badge, on_off
from core.text import duration
from rollout.choices import RunKind, RunOutcome
from rollout.models import LEVELS, RecoveryRun, RecoveryStep
from rollout.recovery import operations
from rollout.recovery.rollback import gradual, quarantine
from rollout.recovery.rollback.plan import describe_estimate, plan_level
from rollout.recovery.rollback.rehearsal import rehearsal_fault
from rollout.recovery.runner import PROMISED

EFFECTS = {
    RunKind.EMERGENCY: "Disables all rollouts, switches off polling, warming and serving, and takes the data out of "
    "service. Nothing is lost.",
    RunKind.STANDARD: "Disables all rollouts, takes a snapshot, deletes the cache entries, and resets the provider "
    "states to a backfill's.",
    RunKind.GRADUAL: "Moves the rollouts down step by step while the guards watch. Changes no data.",
}


@dataclass(frozen=True, slots=True)
class LevelCard:
    """A level on the list of runs.

    promise: the time that the level promises.
    last: when the last rollback of this level ended, rehearsals not counted.
    may_begin: the user may begin a rollback of this level.
    begin: the address of the page that asks for the confirmation.
    """

    level: str
    badge: SafeString
    effect: str
    promise: str
    rehearsed: SafeString
    last: SafeString | str
    may_begin: bool
    begin: str


@dataclass(frozen=True, slots=True)
class StepContext:
    """A step of a run.

    badge: its outcome; empty if the step is to come.
    took: how long it took, when it began if it is not over, or the estimate if it is to come.
    key: the id of its evidence on the page; empty while the step is executed.
    evidence: JSON; empty if there is none.
    """

    name: str
    badge: SafeString | str
    took: SafeString | str
    description: str
    key: str = ""
    evidence: str = ""


def level_cards(user: Actor) -> list[LevelCard]:
    return [_level_card(level, user) for level in LEVELS]


def _level_card(level: RunKind, user: Actor) -> LevelCard:
    ended = RecoveryRun.objects.filter(kind=level).exclude(ended_at=None)
    rehearsal, last = ended.filter(is_rehearsal=True).first(), ended.filter(is_rehearsal=False).first()
    return LevelCard(
        level=level.value,
        badge=badge(level),
        effect=EFFECTS[level],
        promise=duration(PROMISED[level]),
        rehearsed=describe_rehearsal(rehearsal),
        last=ago(last.ended_at, "never") if last else "never",
        may_begin=user.has_perm(f"rollout.{level.value}_recoveryrun"),
        begin=reverse(f"admin:rollout_recoveryrun_{level.value}"),
    )


def describe_rehearsal(run: RecoveryRun | None) -> SafeString:
    """Return when the level was last rehearsed; in red if that is too long ago or took longer than promised."""
    if run is None or run.ended_at is None:
        return format_html('<span class="sw-red">✕ {}</span>', "never rehearsed")
    is_good = not rehearsal_fault(run, timezone.now())
    holds = f" and {duration(run.waived_seconds)} of holds" if run.waived_seconds else ""
    symbol, color = ("✓", "green") if is_good else ("✕", "red")
    return format_html(
        '<span class="sw-{}">{} rehearsed {}{}, took {}{}</span>',
        color,
        symbol,
        ago(run.ended_at),
        "" if run.outcome == RunOutcome.DONE else " and failed",
        duration(run.actual_seconds or 0),
        holds,
    )


def promise_badge(run: RecoveryRun) -> SafeString | str:
    has_kept = run.has_kept_promise
    return "–" if has_kept is None else on_off(has_kept, "kept", "not kept")


def describe_promise(run: RecoveryRun) -> str:
    return "–" if run.promised_seconds is None else duration(run.promised_seconds)


def describe_duration(run: RecoveryRun) -> str:
    """Return how long the run took, or has taken so far."""
    if run.actual_seconds is None:
        return f"{duration((timezone.now() - run.started_at).total_seconds())} so far"
    return duration(run.actual_seconds)


def steps_context(run: RecoveryRun) -> list[StepContext]:
    """Return the steps that the run has begun; if it is an open rollback, also those that are to come."""
    begun = {step.name: step for step in run.steps.order_by("pk")}
    steps = [_step_context(step) for step in begun.values()]
    if run.ended_at is None and run.level in LEVELS:
        to_come = [step for step in plan_level(run.level, run.pace) if step.name not in begun]
        steps += [
            StepContext(step_label(each.name), "", describe_estimate(each.seconds), each.summary) for each in to_come
        ]
    return steps


def step_label(name: str) -> str:
    """Return the name of the step as an operator reads it."""
    return gradual.LABELS.get(name) or name.replace("_", " ").capitalize()


def _step_context(step: RecoveryStep) -> StepContext:
    return StepContext(
        name=step_label(step.name),
        badge=badge(RunOutcome(step.outcome)),
        took=ago(step.started_at) if step.seconds is None else duration(step.seconds),
        description=step.evidence.get("problem", ""),
        # The page keeps the evidence of an ended step as it is, open if its reader opened it.
        key=f"evidence-{step.pk}" if step.ended_at else "",
        evidence=json.dumps(step.evidence, indent=1, ensure_ascii=False) if step.evidence else "",
    )


def allowed_verbs(run: RecoveryRun, user: Actor) -> list[tuple[str, str]]:
    """Return the verbs that this user may apply to the run now, each with its label."""
    verbs = []
    if run.kind == RunKind.GRADUAL and run.ended_at is None and user.has_perm("rollout.gradual_recoveryrun"):
        verbs.append(("pause", "Pause…") if run.outcome == RunOutcome.RUNNING else ("resume", "Resume…"))
    has_ended = run.kind in (RunKind.EMERGENCY, RunKind.STANDARD) and run.ended_at and not run.is_rehearsal
    if has_ended and user.has_perm("rollout.restore_recoveryrun") and operations.is_undoable(run):
        verbs.append(("undo", "Undo…"))
    may_purge = user.has_perm("rollout.purge_recoveryrun")
    if run.kind == RunKind.EMERGENCY and has_ended and may_purge and quarantine.is_held(run):
        verbs.append(("purge", "Purge the quarantine…"))
    return verbs
