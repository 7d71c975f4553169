from django.apps import AppConfig


class ValidationConfig(AppConfig):
    name = "validation"
    verbose_name = "Health"

    def ready(self) -> None:
        from rollout.recovery.protect import verify_with
        from validation.checks import register  # here, because models exist only once all apps are loaded

        register()
        from validation.checks.rollback import verified

        verify_with(verified)
