"""What can be wrong with the caches' settings at the start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error


def derived_cache_is_configured(**kwargs: Any) -> list[CheckMessage]:
    caches: dict[str, Any] = settings.CACHES
    configured = caches.get("derived", {}).get("BACKEND") == "caching.backend.DerivedCache"
    hint = "Add 'derived': {'BACKEND': 'caching.backend.DerivedCache'} to CACHES."
    missing = Error("CACHES has no 'derived' cache of Slipway's backend.", hint=hint, id="caching.E001")
    return [] if configured else [missing]
