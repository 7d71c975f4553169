"""Operations on the guards of the application's own metrics, which alone can be added and deleted."""

from django.core.exceptions import ValidationError
from django.db import transaction

from core.access.actors import Actor, require
from core.access.audit import acting
from core.errors import WrongInput
from rollout.choices import Guard, Stage
from rollout.decisions.guards import OWN_GUARDS, guards_of
from rollout.models import GuardPolicy, StagePolicy
from rollout.operations import policies, versions
from rollout.operations.versions import GUARD_ADDED, GUARD_DELETED


@transaction.atomic
def add_own_guard(guard: GuardPolicy, *, actor: Actor) -> None:
    """Store a guard on one of the application's own metrics. The next tick judges by it.

    guard: a row that is not stored yet. `guard.policy` has the version with which its caller read it.
    Raises Refused without the permission, Overtaken if the stage's policies changed since, and WrongInput if a number
    is outside its range, if the name is taken, or if the stage does not compare the candidate with control.
    """
    require(actor, "rollout.add_guardpolicy")
    _require_compared(guard)
    _require_valid(guard)
    versions.require_unchanged([guard.policy])
    if guard.policy.guards.filter(metric=guard.metric).exists():
        raise WrongInput(f"cannot add a guard on {guard.metric}: {guard.policy} has one", "change that one")
    with acting(actor, GUARD_ADDED):
        _store_next_version(guard.policy)
        guard.save(force_insert=True)


@transaction.atomic
def delete_own_guard(guard: GuardPolicy, *, actor: Actor) -> None:
    """Delete a guard on one of the application's own metrics.

    guard: `guard.policy` has the version with which its caller read it.
    Raises Refused without the permission, Overtaken if the stage's policies changed since, and WrongInput for a guard
    of Slipway, or if no guard of the stage could ever be measured then.
    """
    require(actor, "rollout.delete_guardpolicy")
    if guard.guard not in OWN_GUARDS:
        raise WrongInput(f"cannot delete {guard}: it is no guard on an own metric", "switch it off")
    versions.require_unchanged([guard.policy])
    with acting(actor, GUARD_DELETED):
        _store_next_version(guard.policy)
        guard.delete()
    policies.require_measurable([guard.policy])


def _require_compared(guard: GuardPolicy) -> None:
    policy = guard.policy
    if guard.guard not in OWN_GUARDS:
        raise WrongInput(f"guard must be {' or '.join(OWN_GUARDS)} (got {guard.guard})", "change the guard that exists")
    if Guard(guard.guard) not in guards_of(Stage(policy.stage), has_hold_back=policy.hold_back_percent > 0):
        raise WrongInput(
            f"cannot add a guard on {guard.metric}: {policy} does not compare the candidate with control",
            "choose SHADOW_MODE, PARTIAL_ACTIVE, or FULL_ACTIVE with a hold-back",
        )


def _require_valid(guard: GuardPolicy) -> None:
    try:
        guard.clean_fields(exclude={"policy"})
        guard.clean()
    except ValidationError as error:
        causes = "; ".join(error.messages)
        raise WrongInput(f"cannot add a guard on {guard.metric[:50]!r}: {causes}", "nothing was stored") from None


def _store_next_version(policy: StagePolicy) -> None:
    policy.version += 1
    policy.save(update_fields=["version"])
