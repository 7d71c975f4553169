"""Changes of a provider state's status: never without a cause, an actor and word to whom it concerns."""

from collections.abc import Sequence
from functools import partial

from django.db import connection, transaction

from core.access.actors import Actor
from core.notices.notify import Event, notify
from providers import sql
from providers.choices import Status
from providers.models import StatusChange


def change_status(
    states: Sequence[int], to: Status, *, cause: str, actor: Actor, only_from: Status | None = None
) -> list[StatusChange]:
    """Set the status of those that have another one (with `only_from`: that one), inside the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(sql.CHANGE_STATUS, {"states": list(states), "to": to.value, "only_from": only_from})
        changed = [
            StatusChange(
                provider_name=provider,
                sport=sport,
                from_status=was,
                to_status=to,
                cause=cause,
                actor=actor.get_username(),
            )
            for provider, sport, was in cursor.fetchall()
        ]
    StatusChange.objects.bulk_create(changed)
    for change in changed:
        message = f"{change.provider_name} {change.sport} is {to.label.lower()}: {cause}"
        told = Event("provider_status", f"{change.provider_name} {change.sport}", message)
        transaction.on_commit(partial(notify, told))
    return changed
