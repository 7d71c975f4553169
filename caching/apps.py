from django.apps import AppConfig
from django.core.checks import Tags, register


class CachingConfig(AppConfig):
    """The caching app, with its system check, its recovery hooks and its reaction to imports of box scores."""

    name = "caching"
    verbose_name = "Caches"

    def ready(self) -> None:
        from caching import checks, models, operations  # not above: models need loaded apps
        from providers.gamelogs.loader import on_new_logs
        from rollout.recovery.protect import protect, when_restored

        register(checks.derived_cache_is_configured, Tags.caches)
        on_new_logs(operations.outdate)
        protect(models.CacheTarget, volatile=("lease_until", "fence", "last_error"))
        protect(models.CachePolicy)
        protect(
            models.CacheEntry, volatile=("hit_count", "last_accessed_at"), on_standard=operations.delete_all_entries
        )
        when_restored(operations.drop_restored_values)
