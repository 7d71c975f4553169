"""Which tables a snapshot holds: apps register theirs in `AppConfig.ready`."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Model


@dataclass(frozen=True, slots=True)
class Protection:
    model: type[Model]
    volatile: tuple[str, ...]  # columns that change by themselves, left out of the content hash
    on_standard: Callable[[], object] | None  # what a standard rollback does to the table


_protected: dict[type[Model], Protection] = {}


def protect(
    model: type[Model], *, volatile: tuple[str, ...] = (), on_standard: Callable[[], object] | None = None
) -> None:
    """Register a table. Raises FieldDoesNotExist for a volatile column that the model lacks."""
    for column in volatile:
        model._meta.get_field(column)
    _protected[model] = Protection(model, volatile, on_standard)


def protected() -> tuple[Protection, ...]:
    return tuple(_protected.values())
