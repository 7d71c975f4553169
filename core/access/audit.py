"""The audit of configuration rows: which tables keep each edit, under whose name, and what it changed."""

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
    """Model decorator: a trigger keeps each insert, update and delete (of the columns in `fields`, else of all)."""
    decorator: Callable[[Any], Any] = pghistory.track(
        pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent(), **options
    )
    return decorator


def acting(actor: Actor, verb: str) -> AbstractContextManager[Any]:
    """Within it, each edit is kept with who made it and by which verb."""
    context: AbstractContextManager[Any] = pghistory.context(actor=actor.get_username(), verb=verb)
    return context


@dataclass(frozen=True, slots=True)
class Edit:
    """label: insert, update or delete. changes: of each column, what it was and what it became."""

    at: datetime
    actor: str
    verb: str
    label: str
    model: str
    pk: str
    changes: dict[str, tuple[Any, Any]]


def is_tracked(model: type[Model]) -> bool:
    return bool(pghistory.core.event_models(tracks_model=model))


def edits(rows: Sequence[Model], newest: int) -> list[Edit]:
    """Of these rows of one table, the newest first."""
    return _edits(Events.objects.tracks(list(rows)), newest) if rows else []


def edits_within(act: Context, newest: int) -> list[Edit]:
    """Of all tables, by one verb of one actor."""
    return _edits(Events.objects.filter(pgh_context_id=act.pk), newest)


def _edits(events: Any, newest: int) -> list[Edit]:
    return [_edit(event) for event in events.order_by("-pgh_created_at", "-pgh_id")[:newest]]


def _edit(event: Any) -> Edit:
    """Of a row that was made nothing was before, of one that was deleted nothing is after. An edit without a context
    was made by hand, in SQL.
    """
    context = event.pgh_context or {}
    if event.pgh_label == "update":
        changes = {name: (was, now) for name, (was, now) in (event.pgh_diff or {}).items()}
    else:
        made = event.pgh_label == "insert"
        changes = {name: (None, value) if made else (value, None) for name, value in event.pgh_data.items()}
    actor, verb = context.get("actor", ""), context.get("verb", "")
    return Edit(event.pgh_created_at, actor, verb, event.pgh_label, event.pgh_obj_model, event.pgh_obj_id, changes)
