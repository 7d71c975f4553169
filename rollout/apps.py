from django.apps import AppConfig


class RolloutConfig(AppConfig):
    name = "rollout"

    def ready(self) -> None:
        from rollout import (
            models,  # here, because models exist only once all apps are loaded
            operations,
        )
        from rollout.recovery.protect import protect, when_restored

        protect(models.StagePolicy, keeps_rows=True)  # with their rollout
        protect(models.GuardPolicy, keeps_rows=True)
        when_restored(lambda models: operations.tell_gates())
