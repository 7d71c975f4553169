"""The base classes of all admin pages. Only `core/console/` imports the admin's theme.

Each list describes its rows in one line, verbs ask before they act, and states are shown by symbol and color.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.text import capfirst
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from core.access import audit
from core.console.edit_history import edits_context
from core.db.estimates import COUNTED_AT_MOST, estimated_rows
from core.errors import SlipwayError

__all__ = [
    "AdminPasswordChangeForm",
    "ConfigurationAdmin",
    "ReadOnlyAdmin",
    "SlipwayAdmin",
    "TabularInline",
    "UserChangeForm",
    "UserCreationForm",
]
EDITS_SHOWN = 50


class SlipwayChangeList(ChangeList):
    """A change list that counts all rows only if a filter or a search hides some of them."""

    def get_results(self, request: HttpRequest) -> None:
        """Set the rows of the page. Without a filter the list is complete, so the theme offers no link to all rows."""
        super().get_results(request)
        self.full_result_count = self.known_full_count()

    def known_full_count(self) -> int | None:
        """Return the number of all rows if no filter or search is active, else None."""
        return None if self.has_active_filters or self.query else self.result_count


class SlipwayAdmin(ModelAdmin):
    """The base of the admin pages.

    intro: one line that describes the page.
    when_empty: the text of an empty list, which describes how rows are created.
    command: the command line that creates rows, shown after `when_empty`.
    """

    intro = ""
    when_empty = ""
    command = ""
    list_before_template = change_form_outer_before_template = "console/intro.html"
    list_filter_submit = False
    object_history_template: Any = "console/history.html"
    list_filter_sheet = False
    show_full_result_count = False
    compressed_fields = True

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the actions that this user may use."""
        actions: dict[str, Any] = super().get_actions(request)
        return {name: action for name, action in actions.items() if _may_use(action[0], request.user)}

    def page(self, address: str, view: Callable[..., HttpResponse], name: str, **view_arguments: Any) -> URLPattern:
        """Return the route of a further page for users who are signed in. The view checks its own permission."""
        route: URLPattern = path(address, self.admin_site.admin_view(view), view_arguments, name=name)
        return route

    def row_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the template context of a row's page, in addition to its fields."""
        return {}

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the template context of the list, in addition to its rows."""
        return {}

    def edited_rows(self, row: Any) -> list[Sequence[Model]]:
        """Return the rows whose edits the row's history shows, one sequence per table.

        The list is empty if the edits of the table are not recorded.
        """
        return [[row]] if audit.is_tracked(self.model) else []

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the recorded edits with the values before and after, or Django's log if the table records none."""
        row = self.get_object(request, unquote(object_id))
        tables = self.edited_rows(row) if row else []
        edits = [edit for rows in tables for edit in audit.edits(rows, EDITS_SHOWN + 1)]
        edits.sort(key=lambda edit: edit.at, reverse=True)
        context = {
            "edits": edits_context(edits[:EDITS_SHOWN], request.user) if tables else None,
            "more": len(edits) > EDITS_SHOWN,
        }
        return super().history_view(request, object_id, (extra_context or {}) | context)  # type: ignore[no-any-return]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        context |= {"intro": self.intro} | (self.row_context(request, obj) if obj else {})
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)  # type: ignore[no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"intro": self.intro, "title": capfirst(self.opts.verbose_name_plural)}
        context |= (extra_context or {}) | self.list_context(request)
        return super().changelist_view(request, context)  # type: ignore[no-any-return]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SlipwayChangeList

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form or save it. If an operation refuses, show its message on the page `after_refusal`."""
        try:
            return super().changeform_view(request, *args, **kwargs)  # type: ignore[no-any-return]
        except SlipwayError as error:
            messages.error(request, str(error))
            return self.after_refusal(request)

    def after_refusal(self, request: HttpRequest) -> HttpResponse:
        """Return the response after an operation refused: the list."""
        return self.response_post_save_change(request, None)  # type: ignore[no-any-return]


class ConfigurationAdmin(SlipwayAdmin):
    """Pages whose edits go through the app's operations, which check the permission and write the audit."""

    def save_row(self, row: Any, actor: Any) -> None:
        """Store the row by an operation of the app."""
        raise NotImplementedError

    def delete_rows(self, rows: Iterable[Any], actor: Any) -> None:
        """Delete the rows by an operation of the app."""
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        self.save_row(obj, request.user)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.delete_rows([obj], request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self.delete_rows(queryset, request.user)


def _may_use(action: Any, user: Any) -> bool:
    """Return whether the user has the action's permission. Django's own deletion, which has none here, asks itself."""
    permission = getattr(action, "permission", None)
    return permission is None or user.has_perm(permission)


class EstimatingPaginator(Paginator):  # type: ignore[type-arg]
    """A paginator that takes the planner's estimate for a large table, instead of counting its rows on each page."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, QuerySet) and not rows.query.where:
            estimated = estimated_rows(rows.model)
            if estimated > COUNTED_AT_MOST:
                return estimated
        return super().count


class ReadOnlyAdmin(SlipwayAdmin):
    """Admin pages of a table that operators read and programs write."""

    paginator = EstimatingPaginator

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Render the page without a link to a history, because the table itself is a history."""
        return super().render_change_form(request, context | {"show_history": False}, *args, **kwargs)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search for the whole term as one text, not for each of its words."""
        term = search_term.strip().replace('"', "")
        return super().get_search_results(request, queryset, f'"{term}"' if term else "")  # type: ignore[no-any-return]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
