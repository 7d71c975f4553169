"""Operations on the configuration of rollouts: making one, and editing the policies of its stages and guards."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Max

from core.access.actors import Actor, require
from core.access.audit import acting
from rollout.choices import Consequence, Guard, Stage
from rollout.models import GuardPolicy, Rollout, StagePolicy
from rollout.operations import lifecycle


class StageDefault(NamedTuple):
    """The policy of a stage of a new rollout. percents: traffic shares, 1 to 100."""

    minutes: float
    percents: list[int]
    window_minutes: float | None


class GuardDefault(NamedTuple):
    """The policy of a guard of a new rollout.

    at_most: errors, ms or a share from 0 to 1; of HIT_RATE the share of misses.
    """

    at_most: float
    min_samples: int = 50
    leads: Consequence = Consequence.DISABLE


DEFAULT_STAGES = {
    Stage.DARK_MODE: StageDefault(10, [], None),
    Stage.SHADOW_MODE: StageDefault(15, [], None),
    Stage.PARTIAL_ACTIVE: StageDefault(20, [10, 25, 50], None),
    Stage.FULL_ACTIVE: StageDefault(10, [], 10),
}
TRAFFIC = {Guard.TRAFFIC: GuardDefault(0)}
CALLS = {
    Guard.ERRORS: GuardDefault(5),
    Guard.ERROR_RATE: GuardDefault(0.01),
    Guard.P95_MS: GuardDefault(1000),
    Guard.HIT_RATE: GuardDefault(0.3),
}
BESIDE_CONTROL = {Guard.LATENCY: GuardDefault(0, leads=Consequence.WARN)}
FEEDS = {Guard.FEED_HEALTH: GuardDefault(0.5, 1, Consequence.WARN)}
DEFAULT_GUARDS: dict[Stage, dict[Guard, GuardDefault]] = {
    Stage.DARK_MODE: TRAFFIC | CALLS | FEEDS,
    Stage.SHADOW_MODE: TRAFFIC | CALLS | BESIDE_CONTROL | {Guard.MISMATCH_RATE: GuardDefault(0.01)} | FEEDS,
    Stage.PARTIAL_ACTIVE: (
        CALLS | BESIDE_CONTROL | {Guard.ASSIGNMENT: GuardDefault(0, leads=Consequence.WARN)} | FEEDS
    ),
    Stage.FULL_ACTIVE: CALLS | BESIDE_CONTROL | FEEDS,
}
EDITABLE_FIELDS = {
    StagePolicy: (
        "minutes",
        "percents",
        "needs_approval",
        "window_minutes",
        "first_requests",
        "hold_back_percent",
        "errors_in_a_row",
        "cool_down_minutes",
    ),
    GuardPolicy: ("is_on", "at_most", "tolerance", "min_samples", "leads"),
}
Policy = StagePolicy | GuardPolicy


@transaction.atomic
def create_rollout(name: str, *, actor: Actor) -> Rollout:
    """Create a disabled rollout with the default policies. Raises Refused without the permission."""
    require(actor, "rollout.add_rollout")
    with acting(actor, "add"):
        rollout = Rollout.objects.create(name=name)
        for stage, default in DEFAULT_STAGES.items():
            policy = StagePolicy.objects.create(rollout=rollout, stage=stage, **default._asdict())
            GuardPolicy.objects.bulk_create(
                GuardPolicy(policy=policy, guard=guard, **guard_default._asdict())
                for guard, guard_default in DEFAULT_GUARDS[stage].items()
            )
    lifecycle.record_transition(rollout, "create", Stage(rollout.stage), actor, "")
    return rollout


@transaction.atomic
def save_policies(policies: Sequence[Policy], *, actor: Actor) -> None:
    """Store edited policies and record the edit. Raises Refused without the permission.

    Running rollouts are judged by the new policies from the next tick on.
    """
    with acting(actor, "change"):
        for policy in policies:
            require(actor, f"rollout.change_{policy._meta.model_name}")
            policy.save(update_fields=EDITABLE_FIELDS[type(policy)])


def policies_of(rollout: Rollout) -> list[Sequence[Policy]]:
    """Return the policies of the rollout's stages, and those of its guards. Their edits are part of its history."""
    guards = GuardPolicy.objects.filter(policy__rollout=rollout).select_related("policy__rollout")
    return [list(rollout.policies.select_related("rollout")), list(guards)]


def last_edit(rollout: Rollout) -> str:
    """Return a text that changes with each edit of the rollout's policies."""
    stage_edits: Any = StagePolicy.pgh_event_model.objects.filter(rollout=rollout)  # type: ignore[attr-defined]
    guard_edits: Any = GuardPolicy.pgh_event_model.objects.filter(policy__rollout=rollout)  # type: ignore[attr-defined]
    return "-".join(str(edits.aggregate(last=Max("pk"))["last"]) for edits in (stage_edits, guard_edits))
