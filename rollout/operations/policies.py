"""Operations on the configuration of rollouts: making one, and editing the policies of its stages and guards."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Max

from core.access.actors import Actor, require
from core.access.audit import acting
from core.errors import WrongInput
from rollout.choices import Consequence, Guard, Stage
from rollout.decisions.measurable import is_measurable
from rollout.models import GuardPolicy, Rollout, StagePolicy
from rollout.operations import transitions, versions


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
    """Create a disabled rollout with the default policies.

    name: letters, digits, hyphens and underscores, at most 50; no other rollout has it, in any case.
    Raises Refused without the permission, WrongInput if the name is not valid or taken.
    """
    require(actor, "rollout.add_rollout")
    with acting(actor, "add"):
        rollout = _insert_rollout(name)
        for stage, default in DEFAULT_STAGES.items():
            policy = StagePolicy.objects.create(rollout=rollout, stage=stage, **default._asdict())
            GuardPolicy.objects.bulk_create(
                GuardPolicy(policy=policy, guard=guard, **guard_default._asdict())
                for guard, guard_default in DEFAULT_GUARDS[stage].items()
            )
    transitions.record(rollout, "create", Stage(rollout.stage), actor, "")
    return rollout


@transaction.atomic
def clone_rollout(source: Rollout, name: str, *, actor: Actor, reason: str) -> Rollout:
    """Create a disabled rollout with the policies of another one, as they are now.

    name: as for `create_rollout`.
    reason: for the history of the new rollout, which also names the source.
    Raises Refused without the permission, WrongInput if the name is not valid or taken.
    """
    require(actor, "rollout.add_rollout")
    with acting(actor, "add"):
        rollout = _insert_rollout(name)
        for policy in source.policies.prefetch_related("guards"):
            guards = list(policy.guards.all())
            policy.pk, policy.rollout, policy.version = None, rollout, 1
            policy.save(force_insert=True)
            for guard in guards:
                guard.pk, guard.policy = None, policy
                guard.save(force_insert=True)
    reason = f"a clone of {source.name}; {reason}".removesuffix("; ")
    transitions.record(rollout, "clone", Stage(rollout.stage), actor, reason)
    return rollout


def _insert_rollout(name: str) -> Rollout:
    rollout = Rollout(name=name)
    try:
        with transaction.atomic():
            rollout.full_clean()
            rollout.save(force_insert=True)
    except ValidationError as error:
        cause = "; ".join(error.messages)
    except IntegrityError:  # another operator was faster
        cause = "a rollout of this name exists already"
    else:
        return Rollout.objects.get(pk=rollout.pk)
    raise WrongInput(f"cannot create a rollout {name[:50]!r}: {cause.rstrip('.')}", "choose another name")


@transaction.atomic
def save_policies(policies: Sequence[Policy], *, actor: Actor) -> None:
    """Store edited policies and record the edit: all of them, or none.

    Each policy of a stage has the version with which its caller read it, which is compared with the stored one; a
    guard has that of its stage (`guard.policy.version`). The edit makes the next version.
    Running rollouts are judged by the new policies from the next tick on; gates act on a new hold-back at once.

    Raises Refused without the permission, and WrongInput if a number is outside its range or if no guard of a stage
    could ever be measured. Raises Overtaken if the policies of a stage or its guards changed after the caller read
    them; the message names these changes.
    """
    for policy in policies:
        require(actor, f"rollout.change_{policy._meta.model_name}")
        _require_valid(policy)
    read_stages = {id(stage): stage for stage in map(_stage_policy_of, policies)}.values()
    versions.require_unchanged(read_stages)
    require_measurable(policies)
    for stage in read_stages:
        stage.version += 1
    edited = {policy.pk: policy for policy in policies if isinstance(policy, StagePolicy)}
    with acting(actor, "change"):
        for stage in ({stage.pk: stage for stage in read_stages} | edited).values():
            stage.save(update_fields=["version", *(EDITABLE_FIELDS[StagePolicy] if stage.pk in edited else [])])
        for policy in policies:
            if isinstance(policy, GuardPolicy):
                policy.save(update_fields=EDITABLE_FIELDS[GuardPolicy])
    for name in {stage.rollout.name for stage in read_stages}:
        transaction.on_commit(partial(transitions.publish_change, name))


def _stage_policy_of(policy: Policy) -> StagePolicy:
    return policy if isinstance(policy, StagePolicy) else policy.policy


def _require_valid(policy: Policy) -> None:
    """Raise WrongInput if a number of the policy is outside its range."""
    kept = {field.name for field in policy._meta.concrete_fields} - set(EDITABLE_FIELDS[type(policy)])
    try:
        policy.clean_fields(exclude=kept)
        policy.clean()
    except ValidationError as error:
        raise WrongInput(f"cannot save {policy}: {'; '.join(error.messages)}", "correct it, and save again") from None


def require_measurable(edited: Sequence[Policy]) -> None:
    """Raise WrongInput if no guard of an edited stage could ever be measured after the edit."""
    stages = {stage.pk: stage for stage in map(_stage_policy_of, edited)}
    guards = {guard.pk: guard for guard in GuardPolicy.objects.filter(policy__in=stages)}
    guards |= {policy.pk: policy for policy in edited if isinstance(policy, GuardPolicy)}
    binding: dict[int, set[Guard]] = {pk: set() for pk in stages}
    for guard in guards.values():
        if guard.is_on and guard.leads != Consequence.WARN:
            binding[guard.policy_id].add(Guard(guard.guard))
    never_measured = [
        stage.stage
        for pk, stage in stages.items()
        if not is_measurable(Stage(stage.stage), binding[pk], has_hold_back=stage.hold_back_percent > 0)
    ]
    if never_measured:
        names = ", ".join(never_measured)
        raise WrongInput(
            f"cannot save the policies: no guard of {names} could ever be measured, so no rollout could leave it",
            "switch on a guard that does not only warn; feed_health does not count",
        )


def policies_of(rollout: Rollout) -> list[Sequence[Policy]]:
    """Return the policies of the rollout's stages, and those of their guards. Their edits are part of its history.

    Deleted guards are included.
    """
    stages = list(rollout.policies.select_related("rollout"))
    return [stages, versions.with_deleted(stages)]


def last_edit(rollout: Rollout) -> str:
    """Return a text that changes with each edit of the rollout's policies."""
    stage_edits: Any = StagePolicy.pgh_event_model.objects.filter(rollout=rollout)  # type: ignore[attr-defined]
    guard_edits: Any = GuardPolicy.pgh_event_model.objects.filter(policy__rollout=rollout)  # type: ignore[attr-defined]
    return "-".join(str(edits.aggregate(last=Max("pk"))["last"]) for edits in (stage_edits, guard_edits))
