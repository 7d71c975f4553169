"""Choices of the caching app."""

import enum

from django.db import models


class CacheType(models.TextChoices):
    """The types of entries."""

    CORRELATION = "CACHE_CORRELATION", "Correlation"
    FACTOR = "CACHE_FACTOR", "Factor model"
    PLAYER = "CACHE_PLAYER", "Player projection"

    @property
    def short(self) -> str:
        """The type's name in cache keys and addresses, such as "player"."""
        return self.value.removeprefix("CACHE_").lower()

    def about(self, sport: str, subject: str) -> str:
        """Return the cache key without the version, which names the subject of a value."""
        return f"{self.short}:{sport.lower()}:{subject}"


class WarmOutcome(models.TextChoices):
    """The outcome of warming one target."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    BUSY = "busy"  # another worker holds its lease, or took it away
    OFF = "off"  # warming is switched off


class ValueState(enum.Enum):
    """The state of a value that was looked up."""

    FRESH = "fresh"
    STALE = "stale"  # past its expiry, within its grace
    MISSING = "missing"


class Tier(models.TextChoices):
    """The tier in which a look-up ended."""

    L1 = "l1", "this process"
    L2 = "l2", "Redis"
    L3 = "l3", "PostgreSQL"
    MISS = "miss", "nowhere"
    CORRUPT = "corrupt", "damaged in Redis"  # counted in addition to the tier that answered instead


HITS = (Tier.L1, Tier.L2, Tier.L3)
