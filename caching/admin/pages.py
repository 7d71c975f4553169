"""The admin pages of entries, targets, policies and warm-ups."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from caching import operations
from caching.admin.context import entry_context, hit_rates_context
from caching.freshness import CONDITIONS, Freshness, freshness_badge
from caching.models import CacheEntry, CachePolicy, CacheTarget, WarmUp
from caching.warming.warm import PERMISSION as WARM
from core.console.actions import verb
from core.console.admin import ConfigurationAdmin, ReadOnlyAdmin
from core.console.badges import ago, on_off
from core.console.keyset import KeysetAdmin
from providers.models import Sport

REQUESTED = "{changed} targets will be computed; Warm-ups shows the progress."


class BySport(admin.SimpleListFilter):
    """The filter by sport, with the choices of the table of sports: reading them from a million entries is slow."""

    title, parameter_name = "sport", "sport"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in Sport.objects.order_by("code").values_list("code", flat=True)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[CacheEntry]") -> "QuerySet[CacheEntry]":
        return queryset.filter(sport=self.value()) if self.value() else queryset


class ByState(admin.SimpleListFilter):
    """The filter by freshness."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label).capitalize()) for state in Freshness]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[CacheEntry]") -> "QuerySet[CacheEntry]":
        value = self.value()
        return queryset.filter(CONDITIONS[Freshness(value)]) if value in Freshness.values else queryset


@admin.register(CacheEntry)
class CacheEntryAdmin(KeysetAdmin):
    intro = "The computed values that are served, the newest first."
    when_empty = "A warm-up computes them:"
    command = "python manage.py warm_caches"
    list_before_template = "console/entries.html"
    change_form_outer_before_template = "console/entry.html"
    list_display = [
        "cache_key",
        "cache_type",
        "fresh",
        "narrative",
        "certainty",
        "sample_size",
        "version",
        "hits",
        "expires",
    ]
    list_filter = ["cache_type", BySport, ByState, "is_flagged"]
    list_per_page = 50
    fieldsets = [
        (None, {"fields": ["cache_key", "confidence", "sample_size", "version", "soft_expires_at", "expires_at"]}),
        ("Use", {"fields": ["hit_count", "last_accessed_at", "is_flagged"]}),
        ("Computation", {"fields": ["generation_time_ms", "ttl_seconds", "updated_at", "created_at", "context_json"]}),
        ("Payload", {"fields": ["size_bytes", "data_hash", "data_json"]}),
    ]
    search_fields = ["cache_key__startswith"]
    search_help_text = "the beginning of a key, such as player:nba"
    actions = [
        verb(
            operations.warm_entries,
            label="Warm now",
            permission=WARM,
            consequence="A worker computes them again from the stored box scores, whether they are fresh or not.",
            done=REQUESTED,
        ),
        verb(
            operations.expire_now,
            label="Expire now",
            permission="caching.expire_cacheentry",
            consequence="They become stale now, and the next refresh computes them again.",
            is_destructive=True,
        ),
        verb(
            operations.flag,
            label="Flag or unflag",
            permission="caching.flag_cacheentry",
            consequence="Flagged entries are kept after their expiry. Entries that are flagged already lose the flag.",
        ),
    ]

    def row_context(self, request: HttpRequest, row: CacheEntry) -> dict[str, Any]:
        return entry_context(row)

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        return hit_rates_context()

    @admin.display(description="State")
    def fresh(self, entry: CacheEntry) -> SafeString:
        return freshness_badge(entry.soft_expires_at, entry.expires_at)

    @admin.display(description="Confidence")
    def certainty(self, entry: CacheEntry) -> SafeString:
        return format_html('<span class="sw-number">{}</span>', f"{entry.confidence:.2f}")

    @admin.display(description="Hits")
    def hits(self, entry: CacheEntry) -> SafeString:
        return format_html('<span class="sw-number">{}</span>', f"{entry.hit_count:,}")

    @admin.display(description="Expires")
    def expires(self, entry: CacheEntry) -> SafeString | str:
        return ago(entry.expires_at)


class CacheConfigurationAdmin(ConfigurationAdmin):
    """Pages whose edits also announce changed targets to readers."""

    def save_row(self, row: CacheTarget | CachePolicy, actor: Any) -> None:
        operations.save_configuration(row, actor=actor)


@admin.register(CacheTarget)
class CacheTargetAdmin(CacheConfigurationAdmin):
    intro = "The values that are kept warm. The next refresh computes an entry for a target that is added here."
    when_empty = "The migrations create them."
    list_display = ["cache_key", "name", "enabled", "last_error"]
    list_filter = ["cache_type", "sport", "is_enabled"]
    search_fields = ["name__istartswith"]
    readonly_fields = ["last_error"]
    actions = [
        verb(
            operations.warm_targets,
            label="Warm now",
            permission=WARM,
            consequence="A worker computes them from the stored box scores, whether they are fresh or not.",
            done=REQUESTED,
        )
    ]

    def delete_rows(self, rows: Iterable[CacheTarget], actor: Any) -> None:
        operations.delete_targets([target.pk for target in rows], actor=actor)

    @admin.display(description="Enabled", ordering="is_enabled")
    def enabled(self, target: CacheTarget) -> SafeString:
        return on_off(target.is_enabled)


@admin.register(CachePolicy)
class CachePolicyAdmin(CacheConfigurationAdmin):
    intro = "How long an entry is fresh, when it is refreshed, and how long it is kept after its expiry."
    list_display = ["__str__", "ttl_hours", "soft_fraction", "grace_hours"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["cache_type"] if obj else []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # the migration made one for each type

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(WarmUp)
class WarmUpAdmin(ReadOnlyAdmin):
    intro = "The computations that operators requested, and their progress. The regular refresh is not listed."
    when_empty = "To request one, select entries or targets, then choose Warm now."
    list_before_template = "console/moving.html"
    list_display = fields = ["requested", "requested_by", "progress", "failed"]
    readonly_fields = ["requested", "progress"]
    ordering = ["-pk"]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[WarmUp]":
        warm_ups: QuerySet[WarmUp] = super().get_queryset(request)
        return warm_ups.defer("targets")

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_moving": WarmUp.objects.filter(ended_at=None).exists()}

    @admin.display(description="Requested", ordering="requested_at")
    def requested(self, row: WarmUp) -> SafeString | str:
        return ago(row.requested_at)

    @admin.display(description="Computed")
    def progress(self, row: WarmUp) -> SafeString:
        text = f"{row.done:,} of {row.total:,}"
        if row.ended_at is not None:
            return format_html("{}", text)
        bar = '<progress class="sw-progress" max="{}" value="{}"></progress> {}'
        return format_html(bar, row.total, row.done, text)
