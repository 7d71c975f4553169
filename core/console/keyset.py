"""Lists of many rows: pages by the row they begin after, so that the ten-thousandth costs what the first does."""

import json
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from core.console.admin import List, ReadOnlyAdmin

COUNTED_AT_MOST = 10_000  # rows; beyond that the planner's estimate will do
OLDER, NEWER = "older", "newer"


class KeysetPaginator(Paginator):  # type: ignore[type-arg]
    template_name = "console/keyset.html"


class KeysetList(List):
    """Newest first; `older` and `newer` in the address name the row that a page begins after."""

    def get_filters_params(self, params: Any = None) -> Any:
        return {name: value for name, value in super().get_filters_params(params).items() if name not in (OLDER, NEWER)}

    def get_results(self, request: HttpRequest) -> None:
        rows, size = self.queryset, self.list_per_page
        before, after = self._place(request, OLDER), self._place(request, NEWER)
        found = list(rows.filter(pk__gt=after).order_by("pk")[: size + 1]) if after is not None else []
        if len(found) > size:
            page, has_newer, has_older = found[:size][::-1], True, True
        else:  # or so few newer ones that they begin the first page
            found = list((rows if before is None else rows.filter(pk__lt=before)).order_by("-pk")[: size + 1])
            page, has_newer, has_older = found[:size], before is not None, len(found) > size
        self.result_list = page
        self.result_count, is_exact = self._count(rows)
        self.counted = f"{self.result_count:,}" if is_exact else f"about {self.result_count:,}"
        self.newer = self._address(NEWER, page[0].pk) if page and has_newer else None
        self.older = self._address(OLDER, page[-1].pk) if page and has_older else None
        self.newest = self._address("", 0) if has_newer else None
        self.full_result_count = self.known_in_full()
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all, self.multi_page = False, True
        self.paginator = KeysetPaginator(page, size)

    def _place(self, request: HttpRequest, name: str) -> int | None:
        said = request.GET.get(name)
        for params in (self.params, self.filter_params):  # filters and the search begin at the first page
            params.pop(name, None)
        if said is None:
            return None
        if not said.isdecimal() or len(said) > 18:
            raise IncorrectLookupParameters
        return int(said)

    def _address(self, name: str, pk: int) -> str:
        return self.get_query_string({name: pk} if name else {}, [OLDER, NEWER])

    def _count(self, rows: "QuerySet[Any]") -> tuple[int, bool]:
        """How many there are, and whether that is exact."""
        counted = rows.order_by()[: COUNTED_AT_MOST + 1].count()
        if counted <= COUNTED_AT_MOST:
            return counted, True
        [plan] = json.loads(rows.order_by().explain(format="JSON"))
        return max(counted, int(plan["Plan"]["Plan Rows"])), False


class KeysetAdmin(ReadOnlyAdmin):
    ordering = ["-pk"]
    sortable_by = ()  # other orders would have to read all rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetList
