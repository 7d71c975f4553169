"""Changes of a provider state's status. Each has a cause and an actor, and the operators are notified of it."""

from collections.abc import Sequence
from functools import partial

from django.db import connection, transaction

from core.access.actors import Actor
from core.notices.notify import Event, notify
from providers.choices import Status
from providers.fleet import sql
from providers.models import StatusChange


def change_status(
    states: Sequence[int], to: Status, *, cause: str, actor: Actor, only_from: Status | None = None
) -> list[StatusChange]:
    """Set the status of the states that have another one, inside the caller's transaction. Return the changes.

    only_from: if it is given, change only states that have this status.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.CHANGE_STATUS, {"states": list(states), "to": to.value, "only_from": only_from})
        changes = [
            StatusChange(
                provider_name=provider,
                sport=sport,
                from_status=before,
                to_status=to,
                cause=cause,
                actor=actor.get_username(),
            )
            for provider, sport, before in cursor.fetchall()
        ]
    StatusChange.objects.bulk_create(changes)
    for change in changes:
        name = f"{change.provider_name} {change.sport}"
        event = Event("provider_status", name, f"{name} is {to.label.lower()}: {cause}")
        transaction.on_commit(partial(notify, event))
    return changes
