"""The parts of the system that a rollback switches off, and an operator switches on again."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now

from core.access.actors import Actor, require
from core.access.audit import acting
from core.errors import Refused
from core.switches import Part
from rollout.choices import RunKind
from rollout.models import Activation, RecoveryRun
from rollout.operations import lifecycle, transitions
from rollout.recovery.runner import resume_command


@transaction.atomic
def reactivate(parts: Sequence[Part], *, actor: Actor, reason: str) -> list[Part]:
    """Switch these parts on, or all parts if none is named. Return those that were off.

    Raises Refused while an emergency or a standard rollback is under way.
    """
    require(actor, "rollout.reactivate_activation")
    under_way = RecoveryRun.objects.open().filter(kind__in=[RunKind.EMERGENCY, RunKind.STANDARD]).first()
    if under_way is not None:
        raise Refused(
            f"cannot switch parts on: {under_way} is under way",
            f"finish it: {resume_command(under_way)}, or undo it: manage.py restore --undo",
        )
    named_parts = parts or list(Part)
    off = [Part(row.part) for row in Activation.objects.switched_off().filter(part__in=named_parts).order_by("part")]
    if Part.ADVANCING in off:
        lifecycle.unfreeze(actor=actor, reason=reason)
    with acting(actor, "reactivate"):
        still_off = Activation.objects.switched_off().filter(part__in=off)
        still_off.update(is_on=True, since=Now(), by=actor.get_username(), reason=reason)
    transitions.announce_to_gates()
    return off


@transaction.atomic
def switch_off(parts: Sequence[Part], *, actor: Actor, reason: str) -> list[Part]:
    """Switch these parts off. Return those that were on. The rollback that calls it has checked the permission."""
    on = Activation.objects.select_for_update().filter(part__in=parts, is_on=True)
    were_on = sorted(Part(row.part) for row in on)
    with acting(actor, "rollback"):
        on.update(is_on=False, since=Now(), by=actor.get_username(), reason=reason)
    transitions.announce_to_gates()
    return were_on
