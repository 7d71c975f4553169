from django.apps import AppConfig


class ProvidersConfig(AppConfig):
    name = "providers"

    def ready(self) -> None:
        from providers import models, operations  # here, because models exist only once all apps are loaded
        from rollout.recovery.protect import protect
        from rollout.watched import watch

        protect(models.Sport)
        protect(models.Provider)
        protect(models.ProviderState, volatile=("updated_at",))
        protect(models.GameLog)
        watch(operations.watched_feeds)
