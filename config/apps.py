from django.apps import AppConfig
from django.core.checks import Tags, register
from django_structlog.signals import bind_extra_request_metadata

from config.logs import bind_address


class SiteConfig(AppConfig):
    """The commands and templates of the site as a whole."""

    name = "config"
    label = "site"

    def ready(self) -> None:
        # The admin can be imported only after Django has loaded all apps.
        from config.console.checks import actions_are_guarded

        register(actions_are_guarded, Tags.admin)
        bind_extra_request_metadata.connect(bind_address)
