"""The parts of the system as a whole: switched off by a rollback, and on again by a person."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now

from core.access.actors import Actor, require
from core.access.audit import acting
from core.errors import Refused
from core.switches import Part
from rollout.choices import RunKind
from rollout.models import Activation, RecoveryRun
from rollout.operations import lifecycle


@transaction.atomic
def reactivate(parts: Sequence[Part], *, actor: Actor, reason: str) -> list[Part]:
    """Switch these parts on, all of them where none is named. Returns those that were off."""
    require(actor, "rollout.reactivate_activation")
    under_way = RecoveryRun.objects.open().filter(kind__in=[RunKind.EMERGENCY, RunKind.STANDARD])
    if run := under_way.first():
        raise Refused(f"{run} is under way", "finish it, or undo it, before")
    wanted = parts or list(Part)
    off = [Part(row.part) for row in Activation.objects.switched_off().filter(part__in=wanted).order_by("part")]
    if Part.ADVANCING in off:
        lifecycle.unfreeze(actor=actor, reason=reason)
    with acting(actor, "reactivate"):
        rest = Activation.objects.switched_off().filter(part__in=off)
        rest.update(is_on=True, since=Now(), by=actor.get_username(), reason=reason)
    lifecycle.tell_gates()
    return off


@transaction.atomic
def switch_off(parts: Sequence[Part], *, actor: Actor, reason: str) -> list[Part]:
    """Part of a rollback, which asked for its own permission. Returns those that were on."""
    on = Activation.objects.select_for_update().filter(part__in=parts, is_on=True)
    found = sorted(Part(row.part) for row in on)
    with acting(actor, "rollback"):
        on.update(is_on=False, since=Now(), by=actor.get_username(), reason=reason)
    lifecycle.tell_gates()
    return found
