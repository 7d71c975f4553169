"""Django's system check for admin actions: each needs a permission and a confirmation page."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.checks import CheckMessage, Error


def actions_are_guarded(app_configs: Sequence[Any] | None, **options: Any) -> list[CheckMessage]:
    """Return an error for each admin action without a permission or a confirmation. Django's own deletion has both."""
    import_module(settings.ROOT_URLCONF)  # it decides which pages the admin has, and system checks have no fixed order
    errors: list[CheckMessage] = []
    for model in filter(admin.site.is_registered, apps.get_models()):
        model_admin = admin.site.get_model_admin(model)
        for action in model_admin.actions or ():
            function: Any = getattr(model_admin, action) if isinstance(action, str) else action
            if not (hasattr(function, "permission") and hasattr(function, "asks")):
                name = f"{type(model_admin).__name__}.{getattr(function, '__name__', action)}"
                problem = f"{name} lacks a permission or a confirmation"
                errors.append(
                    Error(problem, hint="make it with core.console.actions.verb", obj=model, id="slipway.E001")
                )
    return errors
