"""The caches in the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from caching import operations
from caching.choices import CacheType
from caching.models import CacheEntry, CachePolicy, CacheTarget
from config.console import ReadOnlyAdmin, SlipwayAdmin, ago, freshness, on_off, verb

WARM = "caching.warm_cachetarget"


@admin.register(CacheEntry)
class CacheEntryAdmin(ReadOnlyAdmin):
    intro = "What was computed and is ready to be served, the newest first."
    when_empty = "They come with a warm-up: python manage.py warm_caches"
    list_display = ["cache_key", "cache_type", "fresh", "narrative", "sure", "sample_size", "version", "expires"]
    list_filter = ["cache_type", "sport", "is_flagged"]
    search_fields = ["cache_key__istartswith"]
    search_help_text = "beginning of a key, as player:nba"
    ordering = ["-pk"]
    actions = [
        verb(
            operations.warm_entries,
            label="Warm now",
            permission=WARM,
            consequence="They are computed again from the stored box scores, fresh or not.",
        ),
        verb(
            operations.expire_now,
            label="Expire now",
            permission="caching.expire_cacheentry",
            consequence="They are stale from now on, and computed again with the next refresh.",
        ),
        verb(
            operations.flag,
            label="Flag or unflag",
            permission="caching.flag_cacheentry",
            consequence="Flagged ones are kept whatever their expiry says; those flagged lose their flag.",
        ),
    ]

    @admin.display(description="State")
    def fresh(self, entry: CacheEntry) -> SafeString:
        return freshness(entry.soft_expires_at, entry.expires_at)

    @admin.display(description="Confidence", ordering="confidence")
    def sure(self, entry: CacheEntry) -> SafeString:
        return format_html('<span class="sw-number">{}</span>', f"{entry.confidence:.2f}")

    @admin.display(description="Expires", ordering="expires_at")
    def expires(self, entry: CacheEntry) -> SafeString | str:
        return ago(entry.expires_at)


@admin.register(CacheTarget)
class CacheTargetAdmin(SlipwayAdmin):
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
            consequence="They are computed from the stored box scores, fresh or not.",
        )
    ]

    @admin.display(description="Enabled", ordering="is_enabled")
    def enabled(self, target: CacheTarget) -> SafeString:
        return on_off(target.is_enabled)


@admin.register(CachePolicy)
class CachePolicyAdmin(SlipwayAdmin):
    intro = "How long what was computed is fresh, when it is refreshed, and how long it is kept after that."
    list_display = ["__str__", "ttl_hours", "soft_fraction", "grace_hours"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["cache_type"] if obj else []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return CachePolicy.objects.count() < len(CacheType)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
