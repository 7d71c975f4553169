"""The stored runs of validation, and the results of their checks."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from core.health_checks import Result, Suite


class ValidationRunQuerySet(models.QuerySet["ValidationRun"]):
    def of_whole_suite(self, suite: str) -> Self:
        """Return the runs of all categories of the suite, the newest first."""
        return self.filter(suite=suite, category="").order_by("-pk")

    def scheduled(self, suite: str) -> Self:
        """Return the runs of the suite that the schedule began, the newest first."""
        return self.filter(requested_by="system", suite=suite).order_by("-started_at")


class ValidationRun(models.Model):
    """A run of a suite, or of one category of it. It is stored for KEEP_DAYS (90)."""

    KEEP_DAYS = 90

    suite = models.CharField(max_length=16, choices=Suite, db_default=Suite.EXIT.value)
    category = models.CharField(max_length=32, blank=True, db_default="", help_text="empty if the whole suite ran")
    is_full = models.BooleanField("full", db_default=False, help_text="the run looked at every row, not at a sample")
    overall = models.CharField(max_length=5, choices=Result, db_default=Result.ERROR.value)
    total = models.PositiveIntegerField(db_default=0)
    passed = models.PositiveIntegerField(db_default=0)
    seconds = models.FloatField(db_default=0)
    requested_by = models.CharField(max_length=150, db_default="system")
    started_at = models.DateTimeField(db_default=Now(), db_index=True)

    objects = ValidationRunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(suite__in=Suite.values), name="validation_run_suite_known"),
            models.CheckConstraint(condition=Q(overall__in=Result.values), name="validation_run_overall_known"),
        ]
        permissions = [("run_validationrun", "Can run validations")]

    def __str__(self) -> str:
        return f"{self.get_suite_display()}: {self.overall}"


class CheckResult(models.Model):
    """The result of one check in one run."""

    run = models.ForeignKey(ValidationRun, models.CASCADE, related_name="results")
    check_id = models.CharField("check", max_length=64)
    category_name = models.CharField("category", max_length=32)
    result = models.CharField(max_length=5, choices=Result)
    value = models.CharField(max_length=100)
    limit = models.CharField(max_length=100)
    message = models.TextField()
    remedy = models.TextField(blank=True, default="")
    offending = models.JSONField(default=list)
    offending_count = models.PositiveIntegerField(default=0)
    links = models.JSONField(default=dict)
    ms = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "check_id"], name="check_result_one_per_run"),
            models.CheckConstraint(condition=Q(result__in=Result.values), name="check_result_known"),
        ]
        indexes = [models.Index(fields=["check_id", "-run"], name="check_result_history")]

    def __str__(self) -> str:
        return f"{self.check_id}: {self.result}"
