from django.apps import AppConfig
from django.conf import settings


class RolloutConfig(AppConfig):
    name = "rollout"
    verbose_name = "Rollouts"

    def ready(self) -> None:
        # Imported here, because models exist only after all apps are loaded.
        from core.notices import channels
        from core.notices.notify import deliver_with
        from rollout import models
        from rollout.operations import transitions, versions
        from rollout.recovery.protect import protect, when_restored

        protect(models.StagePolicy, keeps_rows=True, volatile=("version",))  # they come and go with their rollout
        protect(models.GuardPolicy, keeps_rows=True)
        when_restored(versions.renew_restored)
        when_restored(transitions.announce_restored_policies)
        if not settings.EMAIL_BACKEND.endswith("console.EmailBackend"):  # the log has every notice anyway
            deliver_with(channels.by_mail)
        if settings.NOTIFY_WEBHOOK_URL:
            deliver_with(channels.by_webhook)
