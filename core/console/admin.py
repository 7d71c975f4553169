"""The admin's look, in one place: no other file imports the theme.

Lists say in a line what they are about, verbs ask before they act, states show as symbol and color.
"""

from collections.abc import Callable, Sequence
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
from core.console import edit_history
from core.db.estimates import COUNTED_AT_MOST, estimated_rows
from core.errors import SlipwayError

__all__ = [
    "AdminPasswordChangeForm",
    "ReadOnlyAdmin",
    "SlipwayAdmin",
    "TabularInline",
    "UserChangeForm",
    "UserCreationForm",
]
EDITS_SHOWN = 50


class List(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        """Without a filter what is shown is all there is, and the theme need not offer all of it."""
        super().get_results(request)
        self.full_result_count = self.known_in_full()

    def known_in_full(self) -> int | None:
        return None if self.has_active_filters or self.query else self.result_count


class SlipwayAdmin(ModelAdmin):
    intro = ""  # what the page is about, in one line
    when_empty = ""  # how rows come to be,
    command = ""  # and what to type for it
    list_before_template = change_form_outer_before_template = "console/intro.html"
    list_filter_submit = False
    object_history_template: Any = "console/history.html"
    list_filter_sheet = False
    show_full_result_count = False
    compressed_fields = True

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Only the verbs that this user may use."""
        found: dict[str, Any] = super().get_actions(request)
        return {
            name: action
            for name, action in found.items()
            if request.user.has_perm(getattr(action[0], "permission", "")) or not hasattr(action[0], "permission")
        }

    def page(self, address: str, view: Callable[..., HttpResponse], name: str, **more: Any) -> URLPattern:
        """One more page, for whoever is signed in; the view asks for its own permission."""
        found: URLPattern = path(address, self.admin_site.admin_view(view), more, name=name)
        return found

    def of_row(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What a row's page shows beside its fields, for its templates."""
        return {}

    def of_list(self, request: HttpRequest) -> dict[str, Any]:
        """What the list shows beside its rows."""
        return {}

    def edited_with(self, row: Any) -> list[Sequence[Model]]:
        """The rows whose edits are this one's history, by table; none where its table keeps no audit."""
        return [[row]] if audit.is_tracked(self.model) else []

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Where its table keeps an audit, each edit with before and after; else what Django logged."""
        row = self.get_object(request, unquote(object_id))
        tables = self.edited_with(row) if row else []
        found = [edit for rows in tables for edit in audit.edits(rows, EDITS_SHOWN + 1)]
        found = sorted(found, key=lambda edit: edit.at, reverse=True)
        more = {
            "edits": edit_history.shown(found[:EDITS_SHOWN], request.user) if tables else None,
            "more": len(found) > EDITS_SHOWN,
        }
        return super().history_view(request, object_id, (extra_context or {}) | more)  # type: ignore[no-any-return]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        context |= {"intro": self.intro} | (self.of_row(request, obj) if obj else {})
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)  # type: ignore[no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        said = {"intro": self.intro, "title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, said | (extra_context or {}) | self.of_list(request))  # type: ignore[no-any-return]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return List

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """An operation that refuses is one line above the list."""
        try:
            return super().changeform_view(request, *args, **kwargs)  # type: ignore[no-any-return]
        except SlipwayError as error:
            messages.error(request, str(error))
            return self.response_post_save_change(request, None)  # type: ignore[no-any-return]


class Estimate(Paginator):  # type: ignore[type-arg]
    """Counts a large table by the planner's estimate: a list of 100 million rows should not be counted per page."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, QuerySet) and not rows.query.where:
            estimated = estimated_rows(rows.model)
            if estimated > COUNTED_AT_MOST:
                return estimated
        return super().count


class ReadOnlyAdmin(SlipwayAdmin):
    paginator = Estimate

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """It has no history: it is one."""
        return super().render_change_form(request, context | {"show_history": False}, *args, **kwargs)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The beginning of a name is one text, not words that each may stand anywhere."""
        term = search_term.strip().replace('"', "")
        return super().get_search_results(request, queryset, f'"{term}"' if term else "")  # type: ignore[no-any-return]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
