from django.apps import AppConfig
from django.conf import settings


class RolloutConfig(AppConfig):
    name = "rollout"
    verbose_name = "Rollouts"

    def ready(self) -> None:
        # Here, because models exist only once all apps are loaded.
        from core.notices import channels
        from core.notices.notify import deliver_with
        from rollout import models
        from rollout.operations import lifecycle
        from rollout.recovery.protect import protect, when_restored

        protect(models.StagePolicy, keeps_rows=True)  # with their rollout
        protect(models.GuardPolicy, keeps_rows=True)
        when_restored(lambda models: lifecycle.tell_gates())
        if not settings.EMAIL_BACKEND.endswith("console.EmailBackend"):  # which the log is anyway
            deliver_with(channels.by_mail)
        if settings.NOTIFY_WEBHOOK_URL:
            deliver_with(channels.by_webhook)
