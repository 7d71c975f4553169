"""Filters by provider. If there are too many providers to list, the filter is left out, and the search finds one."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from providers.models import Provider

LISTED_AT_MOST = 60  # providers


class ProviderFilter(admin.SimpleListFilter):
    """A filter of rows by their provider. Subclasses name another lookup or compare another value."""

    title, parameter_name = "provider", "provider"
    lookup = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = list(Provider.objects.order_by("name").values_list("name", flat=True)[: LISTED_AT_MOST + 1])
        return [(name, name) for name in names] if len(names) <= LISTED_AT_MOST else []

    def has_output(self) -> bool:
        """Return whether the filter works. It also works without choices if the address of the page names a value."""
        return bool(self.lookup_choices or self.value())

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(**{self.lookup: self.lookup_value()}) if self.value() else queryset

    def lookup_value(self) -> Any:
        return self.value()


class StateProviderFilter(ProviderFilter):
    """A filter of rows by the provider of their provider state."""

    lookup = "state__provider"


class CallProviderFilter(ProviderFilter):
    """A filter of upstream calls by provider; one call may be made for several providers."""

    lookup = "providers__contains"

    def lookup_value(self) -> list[str]:
        return [str(self.value())]
