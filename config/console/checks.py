"""Django's `check` fails for an admin action that anybody could use, or that does not ask before it acts."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.checks import CheckMessage, Error


def actions_are_guarded(app_configs: Sequence[Any] | None, **options: Any) -> list[CheckMessage]:
    """Django's own deletion is both."""
    import_module(settings.ROOT_URLCONF)  # which decides what the admin shows; checks come in no order
    found: list[CheckMessage] = []
    for model, model_admin in admin.site._registry.items():
        for action in model_admin.actions or ():
            act = getattr(model_admin, action) if isinstance(action, str) else action
            if not (hasattr(act, "permission") and hasattr(act, "asks")):
                name = f"{type(model_admin).__name__}.{getattr(act, '__name__', action)}"
                said = f"{name} lacks a permission or a confirmation"
                found.append(Error(said, hint="make it with core.console.actions.verb", obj=model, id="slipway.E001"))
    return found
