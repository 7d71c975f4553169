from django.apps import AppConfig


class CachingConfig(AppConfig):
    name = "caching"

    def ready(self) -> None:
        from caching import models, operations  # here, because models exist only once all apps are loaded
        from providers.gamelogs.load import tell_of_new_logs
        from rollout.recovery.protect import protect

        tell_of_new_logs(operations.outdate)
        protect(models.CacheTarget, volatile=("lease_until", "fence", "last_error"))
        protect(models.CachePolicy)
        protect(models.CacheEntry, volatile=("hit_count", "last_accessed_at"))
