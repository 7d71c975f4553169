"""The caches in the admin."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from caching import operations
from caching.admin.context import hit_rates, shown_entry
from caching.freshness import STATES, freshness
from caching.models import CacheEntry, CachePolicy, CacheTarget, WarmUp
from caching.warming.warm import PERMISSION as WARM
from core.console.actions import verb
from core.console.admin import ReadOnlyAdmin, SlipwayAdmin
from core.console.badges import ago, on_off
from core.console.keyset import KeysetAdmin
from providers.models import Sport

UNDER_WAY = "{changed} targets are being computed; Warm-ups shows how far that is."


class BySport(admin.SimpleListFilter):
    """Of the sports there are, since reading them from a million rows takes a while."""

    title, parameter_name = "sport", "sport"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in Sport.objects.order_by("code").values_list("code", flat=True)]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[CacheEntry]") -> "QuerySet[CacheEntry]":
        return queryset.filter(sport=self.value()) if self.value() else queryset


class ByState(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("fresh", "Fresh"), ("due", "To be refreshed"), ("stale", "Stale")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[CacheEntry]") -> "QuerySet[CacheEntry]":
        state = STATES.get(self.value() or "")
        return queryset.filter(state) if state else queryset


@admin.register(CacheEntry)
class CacheEntryAdmin(KeysetAdmin):
    intro = "What was computed and is ready to be served, the newest first."
    when_empty = "They come with a warm-up:"
    command = "python manage.py warm_caches"
    list_before_template = "console/entries.html"
    change_form_outer_before_template = "console/entry.html"
    list_display = [
        "cache_key",
        "cache_type",
        "fresh",
        "narrative",
        "sure",
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
    search_help_text = "beginning of a key, as player:nba"
    actions = [
        verb(
            operations.warm_entries,
            label="Warm now",
            permission=WARM,
            consequence="A worker computes them again from the stored box scores, fresh or not.",
            done=UNDER_WAY,
        ),
        verb(
            operations.expire_now,
            label="Expire now",
            permission="caching.expire_cacheentry",
            consequence="They are stale from now on, and computed again with the next refresh.",
            takes_away=True,
        ),
        verb(
            operations.flag,
            label="Flag or unflag",
            permission="caching.flag_cacheentry",
            consequence="Flagged ones are kept whatever their expiry says; those flagged lose their flag.",
        ),
    ]

    def of_row(self, request: HttpRequest, row: CacheEntry) -> dict[str, Any]:
        return shown_entry(row)

    def of_list(self, request: HttpRequest) -> dict[str, Any]:
        return hit_rates()

    @admin.display(description="State")
    def fresh(self, entry: CacheEntry) -> SafeString:
        return freshness(entry.soft_expires_at, entry.expires_at)

    @admin.display(description="Confidence")
    def sure(self, entry: CacheEntry) -> SafeString:
        return format_html('<span class="sw-number">{}</span>', f"{entry.confidence:.2f}")

    @admin.display(description="Hits")
    def hits(self, entry: CacheEntry) -> SafeString:
        return format_html('<span class="sw-number">{}</span>', f"{entry.hit_count:,}")

    @admin.display(description="Expires")
    def expires(self, entry: CacheEntry) -> SafeString | str:
        return ago(entry.expires_at)


class ConfigurationAdmin(SlipwayAdmin):
    """Edits go through the operations, which keep the audit, and tell readers of targets."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        operations.save(obj, actor=request.user)


@admin.register(CacheTarget)
class CacheTargetAdmin(ConfigurationAdmin):
    intro = "What is to be kept warm: a row added here becomes an entry with the next refresh."
    when_empty = "They come with the migrations."
    list_display = ["cache_key", "name", "enabled", "last_error"]
    list_filter = ["cache_type", "sport", "is_enabled"]
    search_fields = ["name__istartswith"]
    readonly_fields = ["last_error"]
    actions = [
        verb(
            operations.warm_targets,
            label="Warm now",
            permission=WARM,
            consequence="A worker computes them from the stored box scores, fresh or not.",
            done=UNDER_WAY,
        )
    ]

    def delete_model(self, request: HttpRequest, obj: CacheTarget) -> None:
        operations.delete_targets([obj.pk], actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[CacheTarget]") -> None:
        operations.delete_targets(queryset.values_list("pk", flat=True), actor=request.user)

    @admin.display(description="Enabled", ordering="is_enabled")
    def enabled(self, target: CacheTarget) -> SafeString:
        return on_off(target.is_enabled)


@admin.register(CachePolicy)
class CachePolicyAdmin(ConfigurationAdmin):
    intro = "How long what was computed is fresh, when it is refreshed, and how long it is kept after that."
    list_display = ["__str__", "ttl_hours", "soft_fraction", "grace_hours"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["cache_type"] if obj else []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # the migration made one for each type

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(WarmUp)
class WarmUpAdmin(ReadOnlyAdmin):
    intro = "What operators had computed at once, and how far that is. The regular refresh is not among it."
    when_empty = "Choose entries or targets, then Warm now."
    list_before_template = "console/moving.html"
    list_display = fields = ["requested", "requested_by", "how_far", "failed"]
    readonly_fields = ["requested", "how_far"]
    ordering = ["-pk"]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[WarmUp]":
        found: QuerySet[WarmUp] = super().get_queryset(request)
        return found.defer("targets")

    def of_list(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_moving": WarmUp.objects.filter(ended_at=None).exists()}

    @admin.display(description="Requested", ordering="requested_at")
    def requested(self, row: WarmUp) -> SafeString | str:
        return ago(row.requested_at)

    @admin.display(description="Computed")
    def how_far(self, row: WarmUp) -> SafeString:
        told = f"{row.done:,} of {row.total:,}"
        if row.ended_at is not None:
            return format_html("{}", told)
        bar = '<progress class="sw-progress" max="{}" value="{}"></progress> {}'
        return format_html(bar, row.total, row.done, told)
