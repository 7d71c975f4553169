"""Making a rollout, and editing what its stages ask of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from rollout import operations
from rollout.actors import Actor, require
from rollout.audit import acting
from rollout.choices import Consequence, Guard, Stage
from rollout.models import GuardPolicy, Rollout, StagePolicy

# minutes, shares of traffic, window in minutes
STAGES: dict[Stage, tuple[float, list[int], float | None]] = {
    Stage.DARK_MODE: (10, [], None),
    Stage.SHADOW_MODE: (15, [], None),
    Stage.PARTIAL_ACTIVE: (20, [10, 25, 50], None),
    Stage.FULL_ACTIVE: (10, [], 10),
}
# limit (of a hit rate the share of misses; of error_rate the level of its test), minimum sample, where it leads
Asked = dict[Guard, tuple[float, int, Consequence]]
COMMON: Asked = {Guard.FEED_HEALTH: (0.5, 1, Consequence.WARN)}
PROBES: Asked = {Guard.HIT_RATE: (0.3, 50, Consequence.DISABLE)}
CANDIDATE: Asked = {
    Guard.ERRORS: (5, 50, Consequence.DISABLE),
    Guard.P95_MS: (1000, 50, Consequence.DISABLE),
    **PROBES,
}
GUARDS: dict[Stage, Asked] = {
    Stage.DARK_MODE: PROBES | COMMON,
    Stage.SHADOW_MODE: CANDIDATE | {Guard.MISMATCH_RATE: (0.01, 50, Consequence.DISABLE)} | COMMON,
    Stage.PARTIAL_ACTIVE: CANDIDATE | COMMON,
    Stage.FULL_ACTIVE: CANDIDATE | {Guard.ERROR_RATE: (0.001, 1000, Consequence.DISABLE)} | COMMON,
}
FIELDS = {  # that an operator edits, and what they are called
    StagePolicy: ("minutes", "percents", "needs_approval", "window_minutes", "errors_in_a_row", "cool_down_minutes"),
    GuardPolicy: ("is_on", "at_most", "min_samples", "leads"),
}
Policy = StagePolicy | GuardPolicy


@transaction.atomic
def create(name: str, *, actor: Actor) -> Rollout:
    """A rollout with the default policies, disabled."""
    require(actor, "rollout.add_rollout")
    with acting(actor, "add"):
        rollout = Rollout.objects.create(name=name)
        for stage, (minutes, percents, window) in STAGES.items():
            policy = StagePolicy.objects.create(
                rollout=rollout, stage=stage, minutes=minutes, percents=percents, window_minutes=window
            )
            GuardPolicy.objects.bulk_create(
                GuardPolicy(policy=policy, guard=guard, at_most=at_most, min_samples=samples, leads=leads)
                for guard, (at_most, samples, leads) in GUARDS[stage].items()
            )
    operations.record(rollout, "create", Stage(rollout.stage), actor, "")
    return rollout


@transaction.atomic
def save(policies: Sequence[Policy], *, actor: Actor) -> None:
    """Store edited policies, on record; what runs is judged by them from the next tick on."""
    with acting(actor, "change"):
        for policy in policies:
            require(actor, f"rollout.change_{policy._meta.model_name}")
            policy.save(update_fields=FIELDS[type(policy)])


@dataclass(frozen=True, slots=True)
class Edit:
    """changes: of each field, what it was and what it became."""

    at: datetime
    actor: str
    policy: str
    changes: dict[str, tuple[Any, Any]]


def edits(rollout: Rollout, newest: int = 20) -> list[Edit]:
    """How its policies were edited, the newest first."""
    stages = {policy.pk: policy for policy in rollout.policies.all()}
    guards = {guard.pk: guard for guard in GuardPolicy.objects.filter(policy__in=stages).select_related("policy")}
    found = [*_edits(StagePolicy, stages, newest), *_edits(GuardPolicy, guards, newest)]
    return sorted(found, key=lambda edit: edit.at, reverse=True)[:newest]


def last_edit(rollout: Rollout) -> str:
    """Another one with each edit."""
    of_stages: Any = StagePolicy.pgh_event_model.objects.filter(rollout=rollout)  # type: ignore[attr-defined]
    of_guards: Any = GuardPolicy.pgh_event_model.objects.filter(policy__rollout=rollout)  # type: ignore[attr-defined]
    return "-".join(str(found.aggregate(last=Max("pk"))["last"]) for found in (of_stages, of_guards))


def _edits(model: type[Policy], policies: dict[int, Any], newest: int) -> list[Edit]:
    """Each against the event before it."""
    events: Any = model.pgh_event_model.objects  # type: ignore[union-attr]  # pghistory adds it
    found: list[Edit] = []
    for event in (
        events.filter(pgh_obj__in=policies, pgh_label="update").order_by("-pk").select_related("pgh_context")[:newest]
    ):
        before = events.filter(pgh_obj=event.pgh_obj_id, pk__lt=event.pk).order_by("-pk").first()
        changes = {
            name: (getattr(before, name), getattr(event, name))
            for name in FIELDS[model]
            if before is not None and getattr(before, name) != getattr(event, name)
        }
        if changes:
            actor = event.pgh_context.metadata.get("actor", "") if event.pgh_context else ""
            found.append(Edit(event.pgh_created_at, actor, _about(policies[event.pgh_obj_id]), changes))
    return found


def _about(policy: Policy) -> str:
    if isinstance(policy, StagePolicy):
        return policy.get_stage_display()
    return f"{policy.policy.get_stage_display()}, {policy.get_guard_display()}"
