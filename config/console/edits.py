"""Who edited the configuration, as one list: a row for each verb, behind it what that changed."""

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


class Acts(ReadOnlyAdmin):
    intro = "Each time somebody edited the configuration, the newest first; behind it, what it was before and after."
    when_empty = "Edits come from the admin and from commands:"
    command = "python manage.py backfill_providers"
    change_form_outer_before_template = "console/act.html"
    list_display = ["when", "verb", "actor"]
    fields = ["when", "verb", "actor"]
    readonly_fields = fields
    list_per_page = 50
    ordering = ["-created_at", "pk"]

    def of_row(self, request: HttpRequest, row: Context) -> dict[str, Any]:
        found = edits_within(row, EDITS_SHOWN + 1)
        return {"edits": edit_history.shown(found[:EDITS_SHOWN], request.user), "more": len(found) > EDITS_SHOWN}

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Context]":
        found: QuerySet[Context] = super().get_queryset(request)
        return found.filter(metadata__has_key="verb")

    @admin.display(description="When", ordering="created_at")
    def when(self, act: Context) -> SafeString | str:
        return ago(act.created_at)

    @admin.display(description="Verb")
    def verb(self, act: Context) -> str:
        return str(act.metadata["verb"])

    @admin.display(description="By")
    def actor(self, act: Context) -> str:
        return str(act.metadata.get("actor", "nobody known"))


def register() -> None:
    """The library's table, under a name that says what it is."""
    Context._meta.verbose_name, Context._meta.verbose_name_plural = "edit", "edits"
    admin.site.register(Context, Acts)
