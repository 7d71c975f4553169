"""The edits of configuration rows, described for an operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.admin.utils import quote
from django.db.models import DateTimeField, Model
from django.urls import NoReverseMatch, reverse
from django.utils.dateparse import parse_datetime
from django.utils.safestring import SafeString

from core.access.audit import Edit
from core.console.badges import ago
from core.text import number

PARTICIPLES = {"insert": "created", "update": "changed", "delete": "deleted"}
UNKNOWN_ACTOR, UNKNOWN_VERB = "an unknown actor", "SQL statement"  # of an edit that was made in SQL


@dataclass(frozen=True, slots=True)
class EditContext:
    """An edit as the template console/edits.html shows it.

    row_name, participle: the row and the kind of the edit, for example "stub NBA" and "changed".
    history: the address of the row's history; empty if the row was deleted or has no page.
    changes: the name, the old value and the new value of each changed column.
    """

    at: SafeString | str
    actor: str
    verb: str
    participle: str
    row_name: str
    history: str
    changes: list[tuple[str, str, str]]


def edits_context(edits: Sequence[Edit], user: Any) -> list[EditContext]:
    """Return the edits of the rows that the user may view, in the given order."""
    visible = [edit for edit in edits if user.has_perm(_view_permission(edit))]
    names = _names_of_rows(visible)
    return [
        EditContext(
            at=ago(edit.at),
            actor=edit.actor or UNKNOWN_ACTOR,
            verb=edit.verb or UNKNOWN_VERB,
            participle=PARTICIPLES.get(edit.label, edit.label),
            row_name=names.get((edit.model, edit.pk)) or f"{_model(edit)._meta.verbose_name} {edit.pk}",
            history=_history_url(edit) if (edit.model, edit.pk) in names else "",
            changes=describe_changes(edit),
        )
        for edit in visible
    ]


def describe_changes(edit: Edit) -> list[tuple[str, str, str]]:
    """Return the name, the old value and the new value of each changed column, as text."""
    described = []
    for column, (old, new) in edit.changes.items():
        field = _field(_model(edit), column)
        name = str(field.verbose_name if field else column)
        described.append((name, _field_text(field, old), _field_text(field, new)))
    return described


def _names_of_rows(edits: Sequence[Edit]) -> dict[tuple[str, str], str]:
    """Return the names of the rows that still exist, by model and primary key, with one query per table."""
    names: dict[tuple[str, str], str] = {}
    for label in {edit.model for edit in edits}:
        keys = {edit.pk for edit in edits if edit.model == label}
        rows = apps.get_model(label)._default_manager.select_related().filter(pk__in=keys)
        names |= {(label, str(row.pk)): str(row) for row in rows}
    return names


def _view_permission(edit: Edit) -> str:
    app, _, model = edit.model.lower().partition(".")
    return f"{app}.view_{model}"


def _model(edit: Edit) -> type[Model]:
    model: type[Model] = apps.get_model(edit.model)
    return model


def _history_url(edit: Edit) -> str:
    try:
        return reverse(f"admin:{edit.model.lower().replace('.', '_')}_history", args=[quote(edit.pk)])
    except NoReverseMatch:  # the row has no page of its own: the page of its parent shows it
        return ""


def _field(model: type[Model], column: str) -> Any:
    """Return the field that is stored in the column, None if the model no longer has it.

    The column of a foreign key has another name than the field.
    """
    fields = (field for field in model._meta.concrete_fields if column in (field.column, field.name, field.attname))
    return next(fields, None)


def _field_text(field: Any, value: Any) -> str:
    labels = dict(field.flatchoices) if field and field.choices else {}
    if isinstance(field, DateTimeField) and value:
        return f"{parse_datetime(value):%Y-%m-%d %H:%M:%S} UTC"
    return str(labels[value]) if isinstance(value, str) and value in labels else _text(value)


def _text(value: Any) -> str:
    """Return a JSON value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(member)}" for name, member in value.items()) or "none"
    if isinstance(value, float):
        return number(value)
    return "none" if value in (None, "") else str(value)
