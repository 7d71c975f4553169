"""The edits of the configuration as one list: a row for each verb, and on its page the values that it changed."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from pghistory.models import Context

from core.access.audit import edits_within
from core.console import edit_history
from core.console.admin import EDITS_SHOWN, ReadOnlyAdmin
from core.console.badges import ago
from core.console.locks import ListUnlessLocked


class Edits(ListUnlessLocked, ReadOnlyAdmin):
    intro = "Each edit of the configuration, the newest first. Open one to see the values before and after it."
    when_empty = "Edits come from the admin and from commands:"
    command = "python manage.py backfill_providers"
    change_form_outer_before_template = "console/act.html"
    list_display = ["when", "verb", "actor"]
    fields = ["when", "verb", "actor"]
    readonly_fields = fields
    list_per_page = 50
    ordering = ["-created_at", "pk"]

    def row_context(self, request: HttpRequest, row: Context) -> dict[str, Any]:
        edits = edits_within(row, EDITS_SHOWN + 1)
        visible_edits = edit_history.edits_context(edits[:EDITS_SHOWN], request.user)
        return {"edits": visible_edits, "more": len(edits) > EDITS_SHOWN}

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Context]":
        contexts: QuerySet[Context] = super().get_queryset(request)
        return contexts.filter(metadata__has_key="verb")

    @admin.display(description="When", ordering="created_at")
    def when(self, edit: Context) -> SafeString | str:
        return ago(edit.created_at)

    @admin.display(description="Verb")
    def verb(self, edit: Context) -> str:
        return str(edit.metadata["verb"])

    @admin.display(description="By")
    def actor(self, edit: Context) -> str:
        return str(edit.metadata.get("actor", "unknown"))


def register_edits() -> None:
    """Register pghistory's table of contexts under the name "edits"."""
    Context._meta.verbose_name, Context._meta.verbose_name_plural = "edit", "edits"
    admin.site.register(Context, Edits)
