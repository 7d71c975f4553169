from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The widgets, templates and styles of the admin."""

    name = "core.console"
    label = "console"
