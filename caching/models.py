"""The tables of the caching app: targets and policies, the computed entries, and the values of the Django cache."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from caching.choices import CacheType, Tier
from core.access.audit import tracked


class CacheEntry(models.Model):
    """A computed value, as it is served."""

    cache_key = models.CharField(max_length=255, unique=True, help_text="type:sport:subject:model_version")
    cache_type = models.CharField(max_length=20, choices=CacheType)
    data_json = models.TextField("payload", help_text="JSON text, read six times as fast as jsonb")
    sport = models.CharField(max_length=8)
    subject = models.CharField(max_length=100)
    model_version = models.CharField(max_length=16)
    data_hash = models.CharField("hash", max_length=64, help_text="SHA-256 of the payload")
    context_json = models.JSONField("computed from", default=dict, help_text="the input that it was computed from")
    narrative = models.TextField(blank=True, default="")
    key_points = models.JSONField(default=list)
    confidence = models.FloatField(help_text="0 to 1, by the formula of its type")
    sample_size = models.PositiveIntegerField(help_text="games")
    generation_time_ms = models.FloatField("computed in, ms")
    size_bytes = models.PositiveIntegerField("size, bytes")
    hit_count = models.PositiveBigIntegerField("hits", default=0)
    last_accessed_at = models.DateTimeField(null=True, blank=True)
    soft_expires_at = models.DateTimeField("due", db_index=True, help_text="it is refreshed from then on")
    expires_at = models.DateTimeField(db_index=True, help_text="it is stale from then on")
    ttl_seconds = models.PositiveIntegerField("lifetime, s")
    is_flagged = models.BooleanField("flagged", default=False, help_text="kept after its expiry")
    version = models.PositiveIntegerField(default=1, help_text="grows by one with each payload that differs")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "portfolio_rationales"
        verbose_name_plural = "cache entries"
        indexes = [  # for the filters of the admin's list, which is long and ordered by id
            models.Index(fields=["cache_type", "-id"], name="cache_entry_by_type"),
            models.Index(fields=["sport", "-id"], name="cache_entry_by_sport"),
            models.Index(fields=["-id"], condition=Q(is_flagged=True), name="cache_entry_flagged"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(cache_type__in=CacheType.values), name="cache_entry_type_known"),
            models.CheckConstraint(condition=Q(confidence__range=(0, 1)), name="cache_entry_confidence_0_to_1"),
            models.CheckConstraint(
                condition=Q(expires_at__gte=models.F("soft_expires_at")), name="cache_entry_soft_first"
            ),
        ]
        permissions = [
            ("expire_cacheentry", "Can expire cache entries"),
            ("flag_cacheentry", "Can flag cache entries"),
        ]

    def __str__(self) -> str:
        return self.cache_key


PortfolioRationale = CacheEntry  # the name that other systems use for the table's model


class CacheValue(models.Model):
    """A value of the Django cache backend."""

    cache_key = models.CharField(max_length=255, primary_key=True)
    data = models.TextField(help_text="JSON")
    expires_at = models.DateTimeField(null=True, db_index=True, help_text="empty if it never expires")
    stamp = models.BigIntegerField(help_text="microseconds; grows with each write of the key")

    def __str__(self) -> str:
        return self.cache_key


class CacheLookup(models.Model):
    """The number of look-ups of a kind that ended in a tier."""

    kind = models.CharField(max_length=20, help_text="type of the entry; value for the Django cache")
    tier = models.CharField(max_length=8, choices=Tier)
    lookups = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "tier"], name="cache_lookup_unique")]

    def __str__(self) -> str:
        return f"{self.kind} {self.tier}: {self.lookups}"


@tracked()
class CachePolicy(models.Model):
    """The lifetimes of the entries of one type."""

    cache_type = models.CharField(max_length=20, primary_key=True, choices=CacheType)
    ttl_hours = models.FloatField("lifetime, h", help_text="how long an entry is fresh")
    soft_fraction = models.FloatField(default=0.9, help_text="share of the lifetime, then it is refreshed")
    grace_hours = models.FloatField("grace, h", default=24, help_text="how long it is then served as stale")

    class Meta:
        verbose_name_plural = "cache policies"
        constraints = [
            models.CheckConstraint(condition=Q(cache_type__in=CacheType.values), name="cache_policy_type_known"),
            models.CheckConstraint(condition=Q(ttl_hours__gt=0, ttl_hours__lte=24), name="cache_policy_ttl_up_to_24_h"),
            models.CheckConstraint(
                condition=Q(soft_fraction__gt=0, soft_fraction__lte=1), name="cache_policy_soft_share"
            ),
            models.CheckConstraint(condition=Q(grace_hours__gte=0), name="cache_policy_grace_not_negative"),
        ]

    def __str__(self) -> str:
        return self.get_cache_type_display()


CONFIGURATION = ["cache_type", "sport", "subject", "name", "model_version", "is_enabled"]


@tracked(fields=CONFIGURATION, model_name="CacheTargetEvent")
class CacheTarget(models.Model):
    """A value that is kept warm. A worker that computes it holds the lease (core.db.leases)."""

    cache_type = models.CharField(max_length=20, choices=CacheType)
    sport = models.CharField(max_length=8)
    subject = models.SlugField(max_length=100, help_text="the statistic, the word model, or the player's slug")
    name = models.CharField(max_length=100, help_text="the name of the statistic or the player in the game logs")
    model_version = models.CharField(max_length=16, default="v1", help_text="the version that is computed and served")
    is_enabled = models.BooleanField("enabled", default=True)
    last_error = models.TextField(blank=True, default="", help_text="empty if the last computation succeeded")
    lease_until = models.DateTimeField(null=True, editable=False)
    fence = models.PositiveBigIntegerField(db_default=0, editable=False)

    class Meta:
        ordering = ["cache_type", "sport", "subject"]
        constraints = [
            models.UniqueConstraint(fields=["cache_type", "sport", "subject"], name="cache_target_unique"),
            models.CheckConstraint(condition=Q(cache_type__in=CacheType.values), name="cache_target_type_known"),
        ]
        permissions = [("warm_cachetarget", "Can warm cache targets")]

    def __str__(self) -> str:
        return f"{self.get_cache_type_display()} {self.sport} {self.name}"

    @property
    def about(self) -> str:
        """The cache key without the version."""
        return CacheType(self.cache_type).about(self.sport, self.subject)

    @property
    def cache_key(self) -> str:
        return f"{self.about}:{self.model_version}"


class WarmUp(models.Model):
    """Targets that an operator wants computed now. The worker that holds the lease goes on at the position `done`."""

    KEEP_DAYS = 7

    targets = ArrayField(models.BigIntegerField())
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(db_default=0)

    class Meta:
        verbose_name = "warm-up"

    def __str__(self) -> str:
        return f"{self.total} targets, for {self.requested_by}"
