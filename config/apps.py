from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Tags, register
from django_structlog import signals

from config.middleware import request_log


class SiteConfig(AppConfig):
    """The commands and templates of the site as a whole."""

    name = "config"
    label = "site"

    def ready(self) -> None:
        # The admin can be imported only after Django has loaded all apps.
        from config.console.checks import actions_are_guarded

        register(actions_are_guarded, Tags.admin)
        signals.bind_extra_request_metadata.connect(request_log.begin)
        signals.bind_extra_request_finished_metadata.connect(request_log.finish)
        signals.bind_extra_request_failed_metadata.connect(request_log.finish)
        if settings.IS_TRACING:
            from config.tracing import decisions

            decisions.register()
