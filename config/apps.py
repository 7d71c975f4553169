from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Holds the commands and templates of the site as a whole."""

    name = "config"
    label = "console"
