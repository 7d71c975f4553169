"""Lists of many rows, paged by the row that a page begins after, so that every page takes the same time to read."""

import json
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from core.console.admin import ReadOnlyAdmin, SlipwayChangeList
from core.text import parse_bigint

COUNTED_EXACTLY_AT_MOST = 10_000  # rows; a longer list shows the planner's estimate
OLDER, NEWER = "older", "newer"


class KeysetPaginator(Paginator):  # type: ignore[type-arg]
    template_name = "console/keyset.html"


class KeysetList(SlipwayChangeList):
    """A list with the newest row first. The parameters `older` and `newer` name the row that a page begins after."""

    def get_filters_params(self, params: Any = None) -> Any:
        return {name: value for name, value in super().get_filters_params(params).items() if name not in (OLDER, NEWER)}

    def get_results(self, request: HttpRequest) -> None:
        """Set the rows of the page and the addresses of its neighbors."""
        page, has_newer, has_older = self._page(request)
        self.result_list = page
        self.result_count, is_exact = self._count(self.queryset)
        self.counted = f"{self.result_count:,}" if is_exact else f"about {self.result_count:,}"
        self.newer = self._address(NEWER, page[0].pk) if page and has_newer else None
        self.older = self._address(OLDER, page[-1].pk) if page and has_older else None
        self.newest = self.get_query_string({}, [OLDER, NEWER]) if has_newer else None
        self.full_result_count = self.known_full_count()
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all, self.multi_page = False, True
        self.paginator = KeysetPaginator(page, self.list_per_page)

    def _page(self, request: HttpRequest) -> tuple[list[Any], bool, bool]:
        """Return the rows of the page, the newest first, and whether newer and older rows follow."""
        rows, size = self.queryset, self.list_per_page
        older_than, newer_than = self._boundary(request, OLDER), self._boundary(request, NEWER)
        if newer_than is not None:
            ascending = list(rows.filter(pk__gt=newer_than).order_by("pk")[: size + 1])
            if len(ascending) > size:
                return ascending[:size][::-1], True, True
        # If there are no more newer rows than fit on a page, show the first page.
        descending = list((rows if older_than is None else rows.filter(pk__lt=older_than)).order_by("-pk")[: size + 1])
        return descending[:size], older_than is not None, len(descending) > size

    def _boundary(self, request: HttpRequest, name: str) -> int | None:
        """Return the primary key in the parameter, None if it is absent. Remove it from the filters' parameters.

        So a new filter or search begins at the first page.
        """
        text = request.GET.get(name)
        for params in (self.params, self.filter_params):
            params.pop(name, None)
        if text is None:
            return None
        pk = parse_bigint(text)
        if pk is None:
            raise IncorrectLookupParameters
        return pk

    def _address(self, name: str, pk: int) -> str:
        return self.get_query_string({name: pk}, [OLDER, NEWER])

    def _count(self, rows: "QuerySet[Any]") -> tuple[int, bool]:
        """Return the number of rows, and whether it is exact."""
        counted = rows.order_by()[: COUNTED_EXACTLY_AT_MOST + 1].count()
        if counted <= COUNTED_EXACTLY_AT_MOST:
            return counted, True
        [plan] = json.loads(rows.order_by().explain(format="JSON"))
        return max(counted, int(plan["Plan"]["Plan Rows"])), False


class KeysetAdmin(ReadOnlyAdmin):
    """Admin pages of a table with many rows."""

    ordering = ["-pk"]
    sortable_by = ()  # another order would have to read all rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetList
