"""Filters by provider, for as long as those can be looked through; of more, the search finds one."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from providers.models import Provider

LISTED_AT_MOST = 60


class ByProvider(admin.SimpleListFilter):
    title, parameter_name = "provider", "provider"
    column = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = list(Provider.objects.order_by("name").values_list("name", flat=True)[: LISTED_AT_MOST + 1])
        return [(name, name) for name in names] if len(names) <= LISTED_AT_MOST else []

    def has_output(self) -> bool:
        """Also where one was chosen by hand, in the address."""
        return bool(self.lookup_choices or self.value())

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(**{self.column: self.wanted()}) if self.value() else queryset

    def wanted(self) -> Any:
        return self.value()


class OfState(ByProvider):
    column = "state__provider"


class ForProvider(ByProvider):
    """A call may be made for several."""

    column = "providers__contains"

    def wanted(self) -> list[str]:
        return [str(self.value())]
