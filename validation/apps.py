from django.apps import AppConfig


class ValidationConfig(AppConfig):
    """Validation: it registers Slipway's checks, and the check of the state after a rollback."""

    name = "validation"
    verbose_name = "Health"

    def ready(self) -> None:
        # Models can be imported only after Django has loaded all apps.
        from rollout.recovery.protect import verify_with
        from validation.checks import load_checks
        from validation.checks.rollback import verify_rollback

        load_checks()
        verify_with(verify_rollback)
