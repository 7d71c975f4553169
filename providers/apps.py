from django.apps import AppConfig
from django.core.checks import register


class ProvidersConfig(AppConfig):
    name = "providers"
    verbose_name = "Fleet"

    def ready(self) -> None:
        from providers import checks, models, operations  # imported here: models exist only after all apps are loaded
        from providers.fleet import baseline
        from rollout.control.feeds import watch_feeds
        from rollout.recovery.protect import protect, when_restored

        register(checks.adapters_can_be_used)
        protect(models.Sport)
        protect(models.Provider)
        protect(
            models.ProviderState,
            volatile=("updated_at",),
            on_standard=baseline.reset_to_baseline,
            resets=baseline.MEASURED,
        )
        when_restored(baseline.sync_after_restore)
        protect(models.GameLog)
        watch_feeds(operations.count_feeds)
