"""What the admin's page of a rollout shows, drawn and in words."""

from collections.abc import Sequence
from typing import Any

import redis
from django.db.models import Model
from django.utils.html import format_html

from core.access.actors import Actor
from core.access.audit import Edit, edits
from core.console.badges import ago, badge
from core.console.charts import Chart
from core.console.edit_history import told
from core.text import duration, elapsed, whole_units
from rollout.admin.confirmations import LINES, Standing
from rollout.choices import Guard, RunState, Stage, Verdict
from rollout.decisions.guards import Judged
from rollout.decisions.stages import ACTIVE, ORDER, Plan, serves
from rollout.gate import mismatches
from rollout.models import GuardReading, Rollout, StagePolicy, Transition
from rollout.operations import policies as configuration
from rollout.status import Status, banners, shown_limit, shown_value, status

READINGS, TRANSITIONS, MISMATCHES, EDITS = 240, 50, 5, 20  # shown at most
VERBS = {  # each with its permission and the states in which it means something
    "start": ("start_rollout", {RunState.IDLE, RunState.COOLING}),
    "approve": ("approve_rollout", {RunState.WAITING}),
    "advance": ("advance_rollout", {RunState.RUNNING, RunState.WAITING}),
    "pause": ("pause_rollout", {RunState.RUNNING, RunState.WAITING}),
    "resume": ("resume_rollout", {RunState.PAUSED}),
    "abort": ("abort_rollout", ACTIVE),
}


def shown(rollout: Rollout, actor: Actor) -> dict[str, Any]:
    """The part that is asked for again and again."""
    now, policies = status(rollout), plans(rollout)
    serving, stage = serves(Stage(rollout.stage), rollout.percent), Stage(rollout.stage)
    return {
        "rollout": rollout,
        "stage_now": badge(stage),
        "state_now": badge(RunState(rollout.run_state)),
        "next": now.next,
        "entered": ago(rollout.stage_entered_at),
        "countdown": _countdown(now, policies),
        "ladder": [rung(each, stage, policies.get(each), rollout.pace) for each in ORDER],
        "guards": [_guard(rollout, one) for one in now.judged],
        "feeds": now.feeds,
        "share": serving.percent,
        "lines": LINES[serving.lines],
        "banners": banners(),
        "differences": differences(rollout),
        "verbs": open_verbs(rollout, actor),
    }


def open_verbs(rollout: Rollout, actor: Actor) -> list[str]:
    """That mean something where it stands, and that this actor may use."""
    return [verb for verb in VERBS if _is_open(verb, rollout, actor)]


def _is_open(verb: str, rollout: Rollout, actor: Actor) -> bool:
    permission, states = VERBS[verb]
    is_last = verb == "advance" and rollout.stage == Stage.FULL_ACTIVE
    return RunState(rollout.run_state) in states and not is_last and actor.has_perm(f"rollout.{permission}")


def plans(rollout: Rollout) -> dict[Stage, Plan]:
    policies = StagePolicy.objects.filter(rollout=rollout).order_by("pk")
    return {Stage(policy.stage): policy.plan for policy in policies}


def standing(rollout: Rollout) -> Standing:
    return Standing(Stage(rollout.stage), rollout.percent, rollout.pace, plans(rollout))


def rung(each: Stage, now: Stage, plan: Plan | None, pace: float) -> dict[str, Any]:
    """Of a ladder of stages; its length where a plan says one."""
    place, here = ORDER.index(each), ORDER.index(now)
    shares = f", {', '.join(map(str, plan.percents))} %" if plan and plan.percents else ""
    return {
        "label": each.label,
        "symbol": "✓" if place < here else each.symbol,
        "how": "now" if place == here else "past" if place < here else "ahead",
        "length": f"{duration(60 * plan.minutes * pace)}{shares}" if plan else "",
    }


def _countdown(now: Status, policies: dict[Stage, Plan]) -> dict[str, Any] | None:
    plan = policies.get(Stage(now.rollout.stage))
    if now.seconds_left is None or plan is None:
        return None
    steps = max(1, len(plan.percents))
    whole = max(1.0, plan.minutes * 60 * now.rollout.pace / steps)
    left = whole_units(now.seconds_left)
    return {"left": left, "max": round(whole), "value": round(max(0.0, whole - now.seconds_left))}


def _guard(rollout: Rollout, one: Judged) -> dict[str, Any]:
    """With its readings of this stage visit, on a scale from 0 that holds its limit."""
    found = GuardReading.objects.filter(
        rollout=rollout, guard=one.guard, epoch__gte=rollout.stage_epoch, at__gte=rollout.stage_entered_at
    )
    readings = list(found.order_by("-at").values_list("at", "value")[:READINGS])[::-1]
    scale = 1.0 if one.guard in (Guard.ERRORS, Guard.P95_MS) else 100.0
    unit = {Guard.ERRORS: "", Guard.P95_MS: " ms"}.get(one.guard, " %")
    last = max(1, len(readings) - 1)
    points = [(place / last, None if value is None else value * scale) for place, (_, value) in enumerate(readings)]
    top = max([one.limit * scale, *(value for _, value in points if value is not None)])
    start = elapsed((readings[-1][0] - readings[0][0]).total_seconds()) if readings else ""
    return {
        "value": shown_value(one.guard, one.value),
        "limit": shown_limit(one),
        "samples": f"{one.samples:,}",
        "verdict": badge(Verdict(one.verdict)),
        "leads": one.leads.label,
        "chart": Chart(one.guard.label, points, start, "now", unit=unit, lowest=0, highest=top).html(),
    }


def newest(rollout: Rollout) -> str:
    """Another one whenever the timeline has more to tell."""
    return f"{rollout.epoch}-{configuration.last_edit(rollout)}"


def timeline(rollout: Rollout) -> list[dict[str, Any]]:
    """Transitions and edits of its policies, the newest first."""
    moves = [_move(move) for move in rollout.transitions.all()[:TRANSITIONS]]
    edited = [_edit(edit, policies) for policies in configuration.policies_of(rollout) for edit in _changes(policies)]
    return sorted([*moves, *edited], key=lambda told: told["moment"], reverse=True)


def _changes(policies: Sequence[Model]) -> list[Edit]:
    return [edit for edit in edits(policies, EDITS) if edit.label == "update"]


def _edit(edit: Edit, policies: Sequence[Model]) -> dict[str, Any]:
    return {
        "moment": edit.at,
        "at": ago(edit.at),
        "what": f"Policy edited: {next(policy for policy in policies if str(policy.pk) == edit.pk)}",
        "actor": edit.actor or "nobody known",
        "reason": "; ".join(f"{name} {was} → {now}" for name, was, now in told(edit)),
    }


def _move(move: Transition) -> dict[str, Any]:
    went = move.from_stage != move.to_stage
    arrow = format_html("{} → {}", Stage(move.from_stage).label, badge(Stage(move.to_stage)))
    share = f" at {move.percent} %" if move.to_stage == Stage.PARTIAL_ACTIVE else ""
    return {
        "moment": move.at,
        "at": ago(move.at),
        "what": format_html("{}: {}{}", move.verb, arrow if went else badge(Stage(move.to_stage)), share),
        "actor": move.actor,
        "reason": move.reason,
        "evidence": _evidence(move.evidence),
    }


def _evidence(judged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": Guard(one["guard"]).label,
            "value": shown_value(Guard(one["guard"]), one["value"]),
            "limit": shown_value(Guard(one["guard"]), one["limit"]),
            "samples": f"{one['samples']:,}",
            "verdict": badge(Verdict(one["verdict"])),
        }
        for one in judged
    ]


def differences(rollout: Rollout) -> list[tuple[str, str]]:
    """What control and the candidate said where they differed."""
    try:
        return mismatches.kept(rollout.name)[:MISMATCHES]
    except redis.RedisError:
        return []
