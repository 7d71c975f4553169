from django.apps import AppConfig


class CachingConfig(AppConfig):
    name = "caching"

    def ready(self) -> None:
        from caching import models  # here, because models exist only once all apps are loaded
        from rollout.recovery.protect import protect

        protect(models.CacheTarget, volatile=("lease_until", "fence", "last_error"))
        protect(models.CachePolicy)
        protect(models.CacheEntry, volatile=("hit_count", "last_accessed_at"))
