"""What the admin shows of recovery: the three levels with their last rehearsal, and a run's steps. Reads only."""

import json
from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console.badges import ago, badge, on_off
from core.text import duration
from rollout.choices import RunKind, RunOutcome
from rollout.models import LEVELS, RecoveryRun, RecoveryStep
from rollout.recovery import operations
from rollout.recovery.rollback import gradual, levels, quarantine
from rollout.recovery.runner import PROMISED

SAYS = {
    RunKind.EMERGENCY: "All rollouts off, polling, warming and serving off, the data out of service; nothing is lost.",
    RunKind.STANDARD: "All rollouts off, a snapshot, then entries go and provider states go back to a backfill's.",
    RunKind.GRADUAL: "Down step by step, the guards watching; no data is touched.",
}


def level_cards() -> list[dict[str, Any]]:
    return [_card(level) for level in LEVELS]


def _card(level: RunKind) -> dict[str, Any]:
    found = RecoveryRun.objects.filter(kind=level).exclude(ended_at=None)
    tried, last = found.filter(is_rehearsal=True).first(), found.filter(is_rehearsal=False).first()
    return {
        "level": level.value,
        "badge": badge(level),
        "says": SAYS[level],
        "promise": duration(PROMISED[level]),
        "rehearsed": rehearsed(tried),
        "last": ago(last.ended_at, "never") if last else "never",
    }


def rehearsed(run: RecoveryRun | None) -> SafeString:
    """When a level was rehearsed last; red where that is long ago, or broke its promise."""
    if run is None or run.ended_at is None:
        return format_html('<span class="sw-red">✕ {}</span>', "never rehearsed")
    is_good = not levels.rehearsal_fault(run, timezone.now())
    holds = f" and {duration(run.waived_seconds)} of holds" if run.waived_seconds else ""
    said = f"{duration(run.actual_seconds or 0)}{holds}"
    mark, color = ("✓", "green") if is_good else ("✕", "red")
    failed = "" if run.outcome == RunOutcome.DONE else " and failed"
    html = '<span class="sw-{}">{} rehearsed {}{}, took {}</span>'
    return format_html(html, color, mark, ago(run.ended_at), failed, said)


def promise_kept(run: RecoveryRun) -> SafeString | str:
    kept = run.has_kept_promise
    return "–" if kept is None else on_off(kept, "kept", "not kept")


def took(run: RecoveryRun) -> str:
    if run.actual_seconds is None:
        return f"{duration((timezone.now() - run.started_at).total_seconds())} so far"
    return duration(run.actual_seconds)


def timeline(run: RecoveryRun) -> list[dict[str, Any]]:
    done = {step.name: step for step in run.steps.order_by("pk")}
    shown = [_step(step) for step in done.values()]
    if run.ended_at is None and run.level in LEVELS:
        coming = [each for each in levels.plan(run.level, run.pace) if each.name not in done]
        shown += [
            {"name": called(each.name), "badge": "", "took": usually(each.seconds), "says": each.says}
            for each in coming
        ]
    return shown


def called(step: str) -> str:
    """A step's name, in an operator's words."""
    return gradual.LABELS.get(step) or step.replace("_", " ").capitalize()


def usually(seconds: float | None) -> str:
    """How long a step took so far, as its plan says it."""
    if seconds is None:
        return "no time known yet"
    return duration(seconds) if seconds < 0.1 else f"about {duration(seconds)}"


def _step(step: RecoveryStep) -> dict[str, Any]:
    problem = step.evidence.get("problem", "")
    return {
        "name": called(step.name),
        "badge": badge(RunOutcome(step.outcome)),
        "took": ago(step.started_at) if step.seconds is None else duration(step.seconds),
        "says": problem,
        # Of a step that has ended it stays as it is, and open where somebody opened it.
        "key": f"evidence-{step.pk}" if step.ended_at else "",
        "evidence": json.dumps(step.evidence, indent=1, ensure_ascii=False) if step.evidence else "",
    }


def verbs(run: RecoveryRun, user: Any) -> list[tuple[str, str]]:
    """What this user may do of it: verb and label."""
    found = []
    if run.kind == RunKind.GRADUAL and run.ended_at is None and user.has_perm("rollout.gradual_recoveryrun"):
        found.append(("pause", "Pause…") if run.outcome == RunOutcome.RUNNING else ("resume", "Resume…"))
    is_over = run.kind in (RunKind.EMERGENCY, RunKind.STANDARD) and run.ended_at and not run.is_rehearsal
    if is_over and user.has_perm("rollout.restore_recoveryrun") and operations.is_undoable(run):
        found.append(("undo", "Undo…"))
    may_purge = user.has_perm("rollout.purge_recoveryrun")
    if run.kind == RunKind.EMERGENCY and is_over and may_purge and quarantine.is_held(run):
        found.append(("purge", "Purge the quarantine…"))
    return found
