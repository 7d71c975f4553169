"""The tables of the fleet: providers, their states, the slots of polling, and the logs of calls and changes."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from core.access.audit import tracked
from core.db.append_only import append_only
from providers.adapter_names import NAME_AT_MOST
from providers.choices import PollOutcome, Status
from providers.validators import CREDENTIAL, validate_adapter, validate_base_url, validate_credential_env


class Sport(models.Model):
    code = models.CharField(max_length=8, primary_key=True)
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.code


@tracked()
class Provider(models.Model):
    name = models.SlugField(primary_key=True)
    adapter = models.CharField(
        max_length=NAME_AT_MOST,
        validators=[validate_adapter],
        help_text="the upstream's API; the API of PrizePicks is unofficial and may change at any time",
    )
    base_url = models.CharField(
        "address",
        max_length=200,
        blank=True,
        default="",
        validators=[validate_base_url],
        help_text="leave it empty for the stub feed at STUB_FEED_URL",
    )
    credential_env = models.CharField(
        "key's variable",
        max_length=64,
        blank=True,
        default="",
        validators=[validate_credential_env],
        help_text="environment variable that holds the key; must end in _API_KEY",
    )
    requests_per_minute = models.PositiveIntegerField(default=60, validators=[MinValueValidator(1)])
    is_priority = models.BooleanField("priority", default=False, help_text="its lines are published first")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(requests_per_minute__gte=1), name="provider_requests_per_minute_min_1"),
            models.CheckConstraint(condition=Q(credential_env__regex=CREDENTIAL), name="provider_credential_env_key"),
        ]

    def __str__(self) -> str:
        return self.name


class ProviderStateQuerySet(models.QuerySet["ProviderState"]):
    def pollable(self) -> Self:
        return self.filter(is_enabled=True).exclude(status=Status.MAINTENANCE)


CONFIGURATION = ["is_enabled", "poll_interval_seconds", "timeout_seconds", "max_retries", "capabilities"]
COUNTERS = ["consecutive_errors", "total_requests", "successful_requests", "failed_requests"]
COUNTERS += ["total_props_fetched", "unique_props_seen", "last_prop_count"]


@tracked(fields=["provider", "sport", *CONFIGURATION], model_name="ProviderStateEvent")
class ProviderState(models.Model):
    provider = models.ForeignKey(Provider, models.CASCADE, db_column="provider_name", related_name="states")
    sport = models.ForeignKey(Sport, models.PROTECT, db_column="sport")
    status = models.CharField(max_length=16, choices=Status, default=Status.INACTIVE)
    is_enabled = models.BooleanField("enabled", default=False, help_text="the operator wants this feed polled")
    poll_interval_seconds = models.PositiveIntegerField(
        default=60, validators=[MinValueValidator(30), MaxValueValidator(300)], help_text="30 to 300 seconds"
    )
    timeout_seconds = models.PositiveIntegerField(
        default=30,
        validators=[MinValueValidator(10), MaxValueValidator(60)],
        help_text="10 to 60 s, for a whole poll",
    )
    max_retries = models.PositiveIntegerField(default=3, validators=[MaxValueValidator(10)])
    last_fetch_attempt = models.DateTimeField(null=True, blank=True)
    last_successful_fetch = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True, default="", help_text="empty after a good fetch")
    consecutive_errors = models.PositiveIntegerField(default=0, help_text="failed polls in a row")
    total_requests = models.PositiveBigIntegerField(default=0, help_text="upstream calls")
    successful_requests = models.PositiveBigIntegerField(default=0)
    failed_requests = models.PositiveBigIntegerField(default=0)
    average_response_time_ms = models.FloatField(default=0)
    total_props_fetched = models.PositiveBigIntegerField(default=0, help_text="lines in all good answers")
    unique_props_seen = models.PositiveBigIntegerField(default=0, help_text="different lines ever seen")
    last_prop_count = models.PositiveIntegerField(default=0, help_text="lines in the last good poll")
    capabilities = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProviderStateQuerySet.as_manager()

    class Meta:
        db_table = "provider_states"
        ordering = ["provider", "sport"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "sport"], name="provider_state_unique"),
            models.CheckConstraint(
                condition=Q(poll_interval_seconds__range=(30, 300)), name="provider_state_interval_30_to_300"
            ),
            models.CheckConstraint(
                condition=Q(timeout_seconds__range=(10, 60)), name="provider_state_timeout_10_to_60"
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="provider_state_status_known"),
            models.CheckConstraint(
                condition=Q(**{f"{name}__gte": 0 for name in [*COUNTERS, "average_response_time_ms"]}),
                name="provider_state_counters_not_negative",
            ),
        ]
        permissions = [
            ("enable_providerstate", "Can enable provider states"),
            ("disable_providerstate", "Can disable provider states"),
            ("poll_providerstate", "Can poll provider states now"),
            ("maintain_providerstate", "Can set provider states to maintenance"),
            ("return_providerstate", "Can return provider states to service"),
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} {self.sport_id}"


class PollSlot(models.Model):
    """The unit of polling: an account and a sport. Every claim and every stored poll writes this row."""

    adapter = models.CharField(max_length=NAME_AT_MOST)
    base_url = models.CharField(max_length=200, blank=True, default="")
    credential_env = models.CharField(max_length=64, blank=True, default="")
    sport = models.ForeignKey(Sport, models.PROTECT, db_column="sport")
    interval_seconds = models.PositiveIntegerField(help_text="the smallest value of the slot's provider states")
    effective_interval_seconds = models.FloatField(help_text="longer if the month's credits would not last")
    timeout_seconds = models.PositiveIntegerField(help_text="the smallest value of the slot's provider states")
    max_retries = models.PositiveIntegerField(help_text="the smallest value of the slot's provider states")
    requests_per_minute = models.PositiveIntegerField(help_text="the account's: the smallest value of its providers")
    credits_per_poll = models.FloatField(db_default=0, help_text="what the last poll cost, if the upstream reports it")
    next_poll_at = models.DateTimeField(null=True, blank=True, help_text="empty if no state of the slot is polled")
    lease_until = models.DateTimeField(null=True, blank=True, help_text="a worker holds the slot until then")
    fence = models.PositiveBigIntegerField(db_default=0, help_text="grows by one with every claim")
    backoff_level = models.PositiveSmallIntegerField(db_default=0, help_text="0 unless provider states are in error")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["adapter", "base_url", "credential_env", "sport"], name="poll_slot_unique"),
        ]
        indexes = [
            models.Index(fields=["next_poll_at"], condition=Q(next_poll_at__isnull=False), name="poll_slot_due"),
        ]

    def __str__(self) -> str:
        return f"{self.adapter} {self.base_url or 'stub feed'} {self.sport_id}"


class FetchAttempt(models.Model):
    """A log row of one upstream call. Kept for 7 days."""

    KEEP_DAYS = 7

    slot = models.ForeignKey(PollSlot, models.PROTECT, related_name="attempts")
    providers = ArrayField(models.CharField(max_length=50), help_text="which providers the call was made for")
    sport = models.CharField(max_length=8)
    path = models.CharField(max_length=200)
    started_at = models.DateTimeField(db_index=True)
    late_ms = models.FloatField(help_text="from the poll's deadline to its first request")
    duration_ms = models.FloatField()
    outcome = models.CharField(max_length=16, choices=PollOutcome)
    http_status = models.PositiveSmallIntegerField("HTTP status", null=True, blank=True)
    message = models.TextField(blank=True, default="")
    size_bytes = models.PositiveIntegerField(default=0)
    lines = ArrayField(
        models.PositiveIntegerField(),
        default=list,
        help_text="lines per provider, in the first call of a good poll",
    )

    class Meta:
        indexes = [models.Index(fields=["slot", "-started_at"], name="fetch_attempt_slot")]
        triggers = append_only(keep_days=7, column="started_at")

    def __str__(self) -> str:
        return f"{', '.join(self.providers)} {self.sport}: {self.get_outcome_display()}"


class StatusChange(models.Model):
    """A provider state's change of status and its cause. Kept for 400 days, even if the state is deleted."""

    KEEP_DAYS = 400

    provider_name = models.CharField(max_length=50)
    sport = models.CharField(max_length=8)
    from_status = models.CharField(max_length=16, choices=Status)
    to_status = models.CharField(max_length=16, choices=Status)
    cause = models.TextField()
    actor = models.CharField(max_length=150)
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["provider_name", "sport", "-changed_at"], name="status_change_state")]
        triggers = append_only(keep_days=400, column="changed_at")

    def __str__(self) -> str:
        return f"{self.provider_name} {self.sport}: {self.from_status} to {self.to_status}"


class FleetAlert(models.Model):
    """The fleet's one alert, on while more than half of the fleet fails at once. A migration makes its one row."""

    since = models.DateTimeField(null=True, help_text="empty if there is no alert")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="fleet_alert_one_row")]
