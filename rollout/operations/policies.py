"""Making a rollout, and editing what its stages ask of it."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max

from core.access.actors import Actor, require
from core.access.audit import acting
from rollout.choices import Consequence, Guard, Stage
from rollout.decisions.guards import ALPHA
from rollout.models import GuardPolicy, Rollout, StagePolicy
from rollout.operations import lifecycle

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
    Stage.FULL_ACTIVE: CANDIDATE | {Guard.ERROR_RATE: (ALPHA, 1000, Consequence.DISABLE)} | COMMON,
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
    lifecycle.record(rollout, "create", Stage(rollout.stage), actor, "")
    return rollout


@transaction.atomic
def save(policies: Sequence[Policy], *, actor: Actor) -> None:
    """Store edited policies, on record; what runs is judged by them from the next tick on."""
    with acting(actor, "change"):
        for policy in policies:
            require(actor, f"rollout.change_{policy._meta.model_name}")
            policy.save(update_fields=FIELDS[type(policy)])


def policies_of(rollout: Rollout) -> list[Sequence[Policy]]:
    """Its stages' and its guards', whose edits are its history."""
    guards = GuardPolicy.objects.filter(policy__rollout=rollout).select_related("policy__rollout")
    return [list(rollout.policies.select_related("rollout")), list(guards)]


def last_edit(rollout: Rollout) -> str:
    """Another one with each edit."""
    of_stages: Any = StagePolicy.pgh_event_model.objects.filter(rollout=rollout)  # type: ignore[attr-defined]
    of_guards: Any = GuardPolicy.pgh_event_model.objects.filter(policy__rollout=rollout)  # type: ignore[attr-defined]
    return "-".join(str(found.aggregate(last=Max("pk"))["last"]) for found in (of_stages, of_guards))
