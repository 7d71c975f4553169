"""Archiving: a rollout that is no longer needed is hidden, and its history is kept."""

from django.db.models.functions import Now

from core.access.actors import Actor, require
from core.errors import Refused
from rollout.choices import Stage
from rollout.models import Rollout, Transition
from rollout.operations import transitions
from rollout.operations.transitions import status_command


def archive(seen: Rollout, *, actor: Actor, reason: str) -> Transition:
    """Hide a disabled rollout from lists and from OFREP. Its gates answer control, and it cannot be started.

    seen: the rollout as the caller read it. Raises Overtaken if it changed since.
    Raises Refused if the rollout is not disabled, or is archived already, or if the actor lacks the permission.
    """
    require(actor, "rollout.archive_rollout")
    if seen.archived_at is not None:
        raise Refused(f"cannot archive {seen.name}: it is archived already", status_command(seen))
    if seen.stage != Stage.DISABLED:
        raise Refused(f"cannot archive {seen.name}: it is in {seen.stage}", f"run: manage.py rollout abort {seen.name}")
    return transitions.change(seen, "archive", actor, reason, changes={"archived_at": Now()})


def unarchive(seen: Rollout, *, actor: Actor, reason: str) -> Transition:
    """Show an archived rollout again. It stays disabled until an operator starts it.

    seen: the rollout as the caller read it. Raises Overtaken if it changed since.
    Raises Refused if the rollout is not archived, or if the actor lacks the permission.
    """
    require(actor, "rollout.archive_rollout")
    if seen.archived_at is None:
        raise Refused(f"cannot unarchive {seen.name}: it is not archived", status_command(seen))
    return transitions.change(seen, "unarchive", actor, reason, changes={"archived_at": None})
