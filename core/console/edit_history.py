"""What an edit of the configuration changed, in an operator's words."""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.contrib.admin.utils import quote
from django.db.models import DateTimeField, Model
from django.urls import NoReverseMatch, reverse
from django.utils.dateparse import parse_datetime

from core.access.audit import Edit
from core.console.badges import ago
from core.text import number

DID = {"insert": "made", "update": "changed", "delete": "deleted"}


def shown(edits: Sequence[Edit], user: Any) -> list[dict[str, Any]]:
    """Of those rows that the user may see."""
    edits = [edit for edit in edits if user.has_perm(_viewing(edit))]
    named = _names(edits)
    return [
        {
            "at": ago(edit.at),
            "actor": edit.actor or "nobody known",
            "verb": edit.verb or "by hand, in SQL",
            "did": DID.get(edit.label, edit.label),
            "what": named.get((edit.model, edit.pk)) or f"{_model(edit)._meta.verbose_name} {edit.pk}",
            "history": _history(edit) if (edit.model, edit.pk) in named else "",
            "changes": told(edit),
        }
        for edit in edits
    ]


def told(edit: Edit) -> list[tuple[str, str, str]]:
    """Of each column: what it is called, what it was, what it became."""
    fields = {name: _field(_model(edit), name) for name in edit.changes}
    return [
        (str(fields[name].verbose_name if fields[name] else name), _said(fields[name], was), _said(fields[name], now))
        for name, (was, now) in edit.changes.items()
    ]


def _names(edits: Sequence[Edit]) -> dict[tuple[str, str], str]:
    """Of the rows that are still there: one query a table, and what their names need."""
    found: dict[tuple[str, str], str] = {}
    for label in {edit.model for edit in edits}:
        wanted = {edit.pk for edit in edits if edit.model == label}
        rows = apps.get_model(label)._default_manager.select_related().filter(pk__in=wanted)
        found |= {(label, str(row.pk)): str(row) for row in rows}
    return found


def _viewing(edit: Edit) -> str:
    app, _, model = edit.model.lower().partition(".")
    return f"{app}.view_{model}"


def _model(edit: Edit) -> type[Model]:
    found: type[Model] = apps.get_model(edit.model)
    return found


def _history(edit: Edit) -> str:
    try:
        return reverse(f"admin:{edit.model.lower().replace('.', '_')}_history", args=[quote(edit.pk)])
    except NoReverseMatch:  # shown on the page of what it belongs to
        return ""


def _field(model: type[Model], column: str) -> Any:
    """By its column's name, which a foreign key's own is not."""
    found = (field for field in model._meta.concrete_fields if column in (field.column, field.name, field.attname))
    return next(found, None)


def _said(field: Any, value: Any) -> str:
    labels = dict(field.flatchoices) if field and field.choices else {}
    if isinstance(field, DateTimeField) and value:
        return f"{parse_datetime(value):%Y-%m-%d %H:%M:%S} UTC"
    return str(labels[value]) if isinstance(value, str) and value in labels else _plain(value)


def _plain(value: Any) -> str:
    """A value as JSON has it, as people would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(held)}" for name, held in value.items()) or "none"
    return "none" if value in (None, "") else number(value) if isinstance(value, float) else str(value)
