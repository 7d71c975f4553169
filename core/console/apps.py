from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The Django app of the admin's widgets, templates and styles."""

    name = "core.console"
    label = "console"
