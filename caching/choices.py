"""Choices of the caching app."""

from django.db import models


class CacheType(models.TextChoices):
    CORRELATION = "CACHE_CORRELATION", "Correlation"
    FACTOR = "CACHE_FACTOR", "Factor model"
    PLAYER = "CACHE_PLAYER", "Player projection"

    @property
    def short(self) -> str:
        """As cache keys and addresses name it."""
        return self.value.removeprefix("CACHE_").lower()


class Outcome(models.TextChoices):
    """How the warming of one target ended."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    BUSY = "busy"  # another worker is at it
    OFF = "off"  # warming is switched off
