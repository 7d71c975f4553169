"""The context of the templates of a rollout's page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
from django.db import DatabaseError
from django.db.models import Model
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.access.actors import Actor
from core.access.audit import Edit, edits
from core.console.badges import ago, badge
from core.console.edit_history import UNKNOWN_ACTOR, describe_changes
from core.db.lock_wait import short_lock_waits
from core.text import duration, whole_units
from rollout.admin.confirmations import PUBLISHED_LINES, Position
from rollout.admin.guards import CONFIDENCE, charts_if_readable, guard_name, guard_rows
from rollout.choices import Comparison, Direction, Guard, RunState, Stage, Verdict
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import ACTIVE, DEFAULT_ROLLOUT, ORDER, StagePlan
from rollout.decisions.wording import format_limit, format_value
from rollout.gate import mismatches
from rollout.models import Rollout, StagePolicy, Transition
from rollout.operations import policies
from rollout.operations.versions import GUARD_ADDED, GUARD_DELETED
from rollout.status import Status, banners, read_status

TRANSITIONS_AT_MOST = 50
EDITS_AT_MOST = 20
MISMATCHES_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class VerbRule:
    """The permission of a verb, and the run states in which it has an effect.

    is_for_archived: whether it has an effect on archived rollouts alone, instead of on all others.
    """

    permission: str
    states: frozenset[RunState]
    is_for_archived: bool = False

    @classmethod
    def of(cls, permission: str, *states: RunState, is_for_archived: bool = False) -> "VerbRule":
        return cls(f"rollout.{permission}", frozenset(states), is_for_archived)

    def applies(self, rollout: Rollout) -> bool:
        """Return whether the verb has an effect on the rollout as it is now."""
        is_archived = rollout.archived_at is not None
        return RunState(rollout.run_state) in self.states and is_archived is self.is_for_archived


VERB_RULES = {
    "start": VerbRule.of("start_rollout", RunState.IDLE, RunState.COOLING),
    "approve": VerbRule.of("approve_rollout", RunState.WAITING),
    "advance": VerbRule.of("advance_rollout", RunState.RUNNING, RunState.WAITING),
    "pause": VerbRule.of("pause_rollout", RunState.RUNNING, RunState.WAITING),
    "resume": VerbRule.of("resume_rollout", RunState.PAUSED),
    "abort": VerbRule.of("abort_rollout", *ACTIVE),
    "clone": VerbRule.of("add_rollout", *RunState),
    "archive": VerbRule.of("archive_rollout", RunState.IDLE, RunState.COOLING),
    "unarchive": VerbRule.of("archive_rollout", RunState.IDLE, RunState.COOLING, is_for_archived=True),
}
RARE_VERBS = frozenset({"clone", "archive", "unarchive"})  # offered on the rollout's own page alone


@dataclass(frozen=True, slots=True)
class Rung:
    """A stage on the ladder of stages.

    how: `past`, `now` or `ahead`, as the style sheet has it.
    length: its time and traffic shares; empty if no plan is known.
    """

    label: str
    symbol: str
    how: str
    length: str


@dataclass(frozen=True, slots=True)
class Countdown:
    """The time left in a stage or percent step. value: the seconds that have passed, of `max`."""

    left: str
    max: int
    value: int


@dataclass(frozen=True, slots=True)
class EvidenceContext:
    """The judgment of a guard that a transition is based on."""

    name: str
    value: str
    control: str
    limit: str
    samples: str
    verdict: SafeString


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """A transition of the rollout, or an edit of one of its policies."""

    moment: datetime
    title: SafeString | str
    actor: str
    reason: str
    evidence: Sequence[EvidenceContext] = ()

    @property
    def at(self) -> SafeString | str:
        """The moment relative to now."""
        return ago(self.moment)


def live_context(rollout: Rollout, actor: Actor) -> dict[str, Any]:
    """Return the context of the part of the page that is refreshed again and again."""
    status, plans, stage = read_status(rollout), plans_if_readable(rollout), Stage(rollout.stage)
    present = _position(rollout, plans)
    serving = present.serving(stage, rollout.percent)
    return {
        "rollout": rollout,
        "stage_now": badge(stage),
        "state_now": badge(RunState(rollout.run_state)),
        "next": status.next,
        "entered": ago(rollout.stage_entered_at),
        "countdown": _countdown(status, plans),
        "ladder": [rung(each, stage, plans.get(each), rollout.pace) for each in ORDER],
        "holds": status.holds,
        "guards": guard_rows(status.judgments),
        "confidence": CONFIDENCE,
        "charts": charts_if_readable(status, plans.get(stage)),
        "feeds": status.feeds,
        "share": serving.percent,
        "lines": PUBLISHED_LINES[serving.lines] if present.publishes_lines else "",
        "banners": banners(),
        "differences": _newest_mismatches(rollout),
        "verbs": open_verbs(rollout, actor),
    }


def open_verbs(rollout: Rollout, actor: Actor) -> list[str]:
    """Return the verbs that have an effect on the rollout now and that the actor may use."""
    return [verb for verb in VERB_RULES if _is_open(verb, rollout, actor)]


def _is_open(verb: str, rollout: Rollout, actor: Actor) -> bool:
    if verb == "advance" and rollout.stage == Stage.FULL_ACTIVE:
        return False
    rule = VERB_RULES[verb]
    return rule.applies(rollout) and actor.has_perm(rule.permission)


def stage_plans(rollout: Rollout) -> dict[Stage, StagePlan]:
    """Return the plan of each stage, in the order of the stages."""
    stage_policies = StagePolicy.objects.filter(rollout=rollout).order_by("pk")
    return {Stage(policy.stage): policy.plan for policy in stage_policies}


def nothing_to_do(verb: str, rollout: Rollout) -> str:
    """Return why the verb has no effect on the rollout now; empty if it has one."""
    if VERB_RULES[verb].applies(rollout):
        return ""
    state = "archived" if rollout.archived_at else RunState(rollout.run_state).label.lower()
    return f"{rollout.name} is {state}: nothing to {verb}"


def plans_if_readable(rollout: Rollout) -> dict[Stage, StagePlan]:
    """Return the plan of each stage; none if another session locks the policies, or they cannot be read."""
    try:
        with short_lock_waits():
            return stage_plans(rollout)
    except DatabaseError:
        return {}


def position(rollout: Rollout) -> Position:
    """Return the rollout's position, for the description of a verb."""
    return _position(rollout, plans_if_readable(rollout))


def _position(rollout: Rollout, plans: Mapping[Stage, StagePlan]) -> Position:
    return Position(Stage(rollout.stage), rollout.percent, plans, publishes_lines=rollout.name == DEFAULT_ROLLOUT)


def rung(stage: Stage, present: Stage, plan: StagePlan | None, pace: float) -> Rung:
    """Return the rung of a stage.

    present: the stage in which the rollout is now.
    plan: the plan of `stage`; None leaves its length empty.
    """
    length = _describe_length(plan, pace) if plan else ""
    if stage is present:
        return Rung(stage.label, stage.symbol, "now", length)
    if ORDER.index(stage) < ORDER.index(present):
        return Rung(stage.label, "✓", "past", length)
    return Rung(stage.label, stage.symbol, "ahead", length)


def _describe_length(plan: StagePlan, pace: float) -> str:
    shares = f", {', '.join(map(str, plan.percents))} %" if plan.percents else ""
    return f"{duration(60 * plan.minutes * pace)}{shares}"


def _countdown(status: Status, plans: Mapping[Stage, StagePlan]) -> Countdown | None:
    plan = plans.get(Stage(status.rollout.stage))
    if status.seconds_left is None or plan is None:
        return None
    steps = max(1, len(plan.percents))
    step_seconds = max(1.0, plan.minutes * 60 * status.rollout.pace / steps)
    passed_seconds = max(0.0, step_seconds - status.seconds_left)
    return Countdown(whole_units(status.seconds_left), round(step_seconds), round(passed_seconds))


def timeline_version(rollout: Rollout) -> str:
    """Return a text that changes when the timeline has a new entry."""
    return f"{rollout.epoch}-{policies.last_edit(rollout)}"


def timeline(rollout: Rollout) -> list[TimelineEntry]:
    """Return the transitions of the rollout and the edits of its policies, the newest first."""
    entries = [_transition_entry(transition) for transition in rollout.transitions.all()[:TRANSITIONS_AT_MOST]]
    for rows in policies.policies_of(rollout):
        entries += _edit_entries(rows)
    return sorted(entries, key=lambda entry: entry.moment, reverse=True)


def _edit_entries(rows: Sequence[Model]) -> Iterator[TimelineEntry]:
    """Yield the edits of these policies, which are of one table."""
    names = {str(row.pk): str(row) for row in rows}
    for edit in edits(rows, EDITS_AT_MOST):
        if edit.label == "update" and set(edit.changes) != {"version"}:
            yield _edit_entry(edit, names[edit.pk])
        elif edit.verb in (GUARD_ADDED, GUARD_DELETED):
            title = "Guard added" if edit.verb == GUARD_ADDED else "Guard deleted"
            yield TimelineEntry(edit.at, f"{title}: {names[edit.pk]}", edit.actor, "")


def _edit_entry(edit: Edit, policy_name: str) -> TimelineEntry:
    changes = [f"{column} {old} → {new}" for column, old, new in describe_changes(edit) if column != "version"]
    return TimelineEntry(edit.at, f"Policy edited: {policy_name}", edit.actor or UNKNOWN_ACTOR, "; ".join(changes))


def _transition_entry(transition: Transition) -> TimelineEntry:
    from_stage, to_stage = Stage(transition.from_stage), Stage(transition.to_stage)
    stages = badge(to_stage)
    if from_stage != to_stage:
        stages = format_html("{} → {}", from_stage.label, stages)
    share = f" at {transition.percent} %" if to_stage is Stage.PARTIAL_ACTIVE else ""
    return TimelineEntry(
        transition.at,
        format_html("{}: {}{}", transition.verb, stages, share),
        transition.actor,
        transition.reason,
        [_evidence_context(judgment) for judgment in transition.evidence],
    )


def _evidence_context(judgment: Mapping[str, Any]) -> EvidenceContext:
    """Return the context of a judgment as the column `evidence` of a transition stores it."""
    judged = Judgment(
        Guard(judgment["guard"]),
        judgment["value"],
        judgment["limit"],
        judgment["samples"],
        Verdict(judgment["verdict"]),
        metric=judgment.get("metric", ""),
        control=judgment.get("control"),
        worse=Direction(judgment.get("worse", Direction.HIGHER)),
        comparison=Comparison(judgment.get("comparison", Comparison.LIMIT)),
    )
    return EvidenceContext(
        name=guard_name(judged),
        value=format_value(judged.guard, judged.value),
        control=format_value(judged.guard, judged.control),
        limit=format_limit(judged),
        samples=f"{judged.samples:,}",
        verdict=badge(judged.verdict),
    )


def _newest_mismatches(rollout: Rollout) -> list[tuple[str, str]]:
    """Return the newest values in which the candidate differed from control; none if Redis does not answer."""
    try:
        return mismatches.read_mismatches(rollout.name)[:MISMATCHES_AT_MOST]
    except redis.RedisError:
        return []
