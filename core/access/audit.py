"""The audit of configuration rows: which tables record each edit, who made it, and what it changed."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pghistory
from django.db.models import Model
from pghistory.models import Context, Events

from core.access.actors import Actor


def tracked(**options: Any) -> Callable[[Any], Any]:
    """Return a model decorator that adds a trigger, which records each insert, update and delete.

    options: those of pghistory.track, such as `fields`, the recorded columns; by default all are recorded.
    """
    decorator: Callable[[Any], Any] = pghistory.track(
        pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent(), **options
    )
    return decorator


def acting(actor: Actor, verb: str) -> AbstractContextManager[Any]:
    """Return a context within which each recorded edit is stored with its actor and verb."""
    context: AbstractContextManager[Any] = pghistory.context(actor=actor.get_username(), verb=verb)
    return context


@dataclass(frozen=True, slots=True)
class Edit:
    """A recorded edit of a row.

    label: insert, update or delete.
    changes: the old and the new value of each changed column.
    """

    at: datetime
    actor: str
    verb: str
    label: str
    model: str
    pk: str
    changes: dict[str, tuple[Any, Any]]


def is_tracked(model: type[Model]) -> bool:
    """Return whether the edits of the model's rows are recorded."""
    return bool(pghistory.core.event_models(tracks_model=model))


def edits(rows: Sequence[Model], newest: int) -> list[Edit]:
    """Return the `newest` edits of these rows, the newest first. The rows belong to one table."""
    return _newest_edits(Events.objects.tracks(list(rows)), newest) if rows else []


def edits_within(context: Context, newest: int) -> list[Edit]:
    """Return the `newest` edits of all tables that one actor made by one verb, the newest first."""
    return _newest_edits(Events.objects.filter(pgh_context_id=context.pk), newest)


def _newest_edits(events: Any, newest: int) -> list[Edit]:
    return [_edit(event) for event in events.order_by("-pgh_created_at", "-pgh_id")[:newest]]


def _edit(event: Any) -> Edit:
    """Return the edit of a stored event. For an insert every old value is None, for a delete every new value.

    An event without a context is an edit that was made in SQL: its actor and verb are empty.
    """
    context = event.pgh_context or {}
    actor, verb = context.get("actor", ""), context.get("verb", "")
    if event.pgh_label == "update":
        changes = {name: (old, new) for name, (old, new) in (event.pgh_diff or {}).items()}
    elif event.pgh_label == "insert":
        changes = {name: (None, value) for name, value in event.pgh_data.items()}
    else:
        changes = {name: (value, None) for name, value in event.pgh_data.items()}
    return Edit(event.pgh_created_at, actor, verb, event.pgh_label, event.pgh_obj_model, event.pgh_obj_id, changes)
