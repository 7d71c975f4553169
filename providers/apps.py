from django.apps import AppConfig


class ProvidersConfig(AppConfig):
    name = "providers"
    verbose_name = "Fleet"

    def ready(self) -> None:
        from providers import models, operations  # here, because models exist only once all apps are loaded
        from providers.fleet import baseline
        from rollout.control.feeds import watch
        from rollout.recovery.protect import protect, when_restored

        protect(models.Sport)
        protect(models.Provider)
        protect(models.ProviderState, volatile=("updated_at",), on_standard=baseline.set_back, resets=baseline.MEASURED)
        when_restored(baseline.restored)
        protect(models.GameLog)
        watch(operations.watched_feeds)
