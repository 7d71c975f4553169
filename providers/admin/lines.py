"""Lines and games in the admin."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.console.admin import ReadOnlyAdmin
from core.console.badges import ago, on_off
from providers.admin.charts import draw_prices
from providers.admin.filters import StateProviderFilter
from providers.models import Event, PropLine


class OfferedFilter(admin.SimpleListFilter):
    """A filter of lines by whether the upstream still offers them."""

    title = "offered"
    parameter_name = "offered"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Offered now"), ("no", "Removed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PropLine]) -> QuerySet[PropLine]:
        return queryset.filter(removed_at__isnull=self.value() == "yes") if self.value() else queryset


@admin.register(PropLine)
class PropLineAdmin(ReadOnlyAdmin):
    intro = "Every line as the provider last sent it; the newest change comes first."
    when_empty = "Lines come with the first good poll of an enabled provider:"
    command = "python manage.py poll_providers --once"
    list_display = ["market", "player", "side", "point", "odds", "bookmaker", "event", "state", "changed", "offered"]
    list_filter = ["state__sport", StateProviderFilter, OfferedFilter]
    search_fields = ["player__istartswith"]
    search_help_text = "beginning of a player's name"
    list_select_related = ["state", "event"]
    ordering = ["-changed_at"]
    change_form_outer_before_template = "console/chart.html"

    def row_context(self, request: HttpRequest, row: PropLine) -> dict[str, Any]:
        return {"chart": draw_prices(row)}

    @admin.display(description="Price", ordering="price")
    def odds(self, line: PropLine) -> str:
        if line.price is None:
            return ""
        return f"{line.price:+g}" if abs(line.price) >= 100 else f"{line.price:g}"  # American odds, else decimal ones

    @admin.display(description="Changed", ordering="changed_at")
    def changed(self, line: PropLine) -> SafeString | str:
        return ago(line.changed_at)

    @admin.display(description="Offered")
    def offered(self, line: PropLine) -> SafeString:
        return on_off(line.removed_at is None, on="offered", off="removed")


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    intro = "The games of the lines."
    when_empty = "Games come with the first good poll of an enabled provider."
    list_display = ["__str__", "sport", "starts", "source"]
    list_filter = ["sport", "source"]
    search_fields = ["home_team", "away_team"]
    ordering = ["-starts_at"]

    @admin.display(description="Starts", ordering="starts_at")
    def starts(self, event: Event) -> SafeString | str:
        return ago(event.starts_at)
