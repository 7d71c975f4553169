"""Choices of the caching app."""

import enum

from django.db import models


class CacheType(models.TextChoices):
    CORRELATION = "CACHE_CORRELATION", "Correlation"
    FACTOR = "CACHE_FACTOR", "Factor model"
    PLAYER = "CACHE_PLAYER", "Player projection"

    @property
    def short(self) -> str:
        """As cache keys and addresses name it."""
        return self.value.removeprefix("CACHE_").lower()

    def about(self, sport: str, subject: str) -> str:
        """What a value is about: its cache key without the version."""
        return f"{self.short}:{sport.lower()}:{subject}"


class Outcome(models.TextChoices):
    """How the warming of one target ended."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    BUSY = "busy"  # another worker is at it
    OFF = "off"  # warming is switched off


class State(enum.Enum):
    """Of a value that was looked up."""

    FRESH = "fresh"
    STALE = "stale"  # past its expiry, within its grace
    MISSING = "missing"


class Tier(models.TextChoices):
    """Where a look-up ended."""

    L1 = "l1", "this process"
    L2 = "l2", "Redis"
    L3 = "l3", "PostgreSQL"
    MISS = "miss", "nowhere"
    CORRUPT = "corrupt", "damaged in Redis"  # counted beside the tier that answered in its place


HITS = (Tier.L1, Tier.L2, Tier.L3)
