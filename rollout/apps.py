from django.apps import AppConfig


class RolloutConfig(AppConfig):
    name = "rollout"

    def ready(self) -> None:
        from rollout import models  # here, because models exist only once all apps are loaded
        from rollout.recovery.protect import protect

        protect(models.StagePolicy)
        protect(models.GuardPolicy)
