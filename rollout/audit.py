"""The audit of configuration rows: which tables keep each edit, and under whose name."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pghistory

from rollout.actors import Actor


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
