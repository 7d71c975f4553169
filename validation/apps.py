from django.apps import AppConfig


class ValidationConfig(AppConfig):
    name = "validation"

    def ready(self) -> None:
        from validation.checks import register  # here, because models exist only once all apps are loaded

        register()
