"""The system check of the caches' settings."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error

BACKEND = "caching.backend.DerivedCache"


def derived_cache_is_configured(**kwargs: Any) -> list[CheckMessage]:
    """Return an error if CACHES has no "derived" cache of Slipway's backend."""
    caches: dict[str, Any] = settings.CACHES
    if caches.get("derived", {}).get("BACKEND") == BACKEND:
        return []
    hint = f"Add 'derived': {{'BACKEND': '{BACKEND}'}} to CACHES."
    return [Error("CACHES has no 'derived' cache of Slipway's backend.", hint=hint, id="caching.E001")]
