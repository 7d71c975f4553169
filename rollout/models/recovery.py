"""The tables of recovery: snapshots, and recovery runs with their steps."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rollout.choices import RunKind, RunOutcome

LEVELS = [RunKind.EMERGENCY, RunKind.STANDARD, RunKind.GRADUAL]
UNDOES = ["put_back", "restore"]  # the steps after which the data of a rollback is back
OPEN = [RunOutcome.RUNNING, RunOutcome.PAUSED]


class Snapshot(models.Model):
    """A recovery snapshot on disk. The manifest in its folder is authoritative; this row records where it is."""

    name = models.SlugField(max_length=40, unique=True)
    host = models.CharField(max_length=253, help_text="the host whose disk holds it")
    folder = models.CharField(max_length=500)
    reason = models.TextField(blank=True, default="")
    made_by = models.CharField(max_length=150)
    tables = models.PositiveIntegerField()
    rows = models.PositiveBigIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    seconds = models.FloatField()
    verified_at = models.DateTimeField(null=True, help_text="when it was read back and found undamaged")
    problem = models.TextField(blank=True, default="", help_text="what was wrong when it was read back")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        app_label = "rollout"
        ordering = ["-created_at"]
        permissions = [
            ("create_snapshot", "Can create snapshots"),
            ("verify_snapshot", "Can verify snapshots"),
            ("prune_snapshot", "Can prune snapshots"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """The result of reading the snapshot back, in words."""
        return "damaged" if self.problem else "read back" if self.verified_at else "not read back yet"


class RecoveryRunQuerySet(models.QuerySet["RecoveryRun"]):
    def open(self) -> Self:
        """Return the open run that is no rehearsal. At most one exists."""
        return self.filter(ended_at=None, is_rehearsal=False)

    def last_rehearsals(self) -> dict[str, "RecoveryRun"]:
        """Return the last rehearsal of each level, by level."""
        last = self.filter(is_rehearsal=True).order_by("kind", "-pk").distinct("kind")
        return {run.kind: run for run in last}

    def last_good_rehearsals(self) -> dict[str, datetime]:
        """Return when the last rehearsal of each level that kept its promise ended. A level without one is missing."""
        done = self.filter(is_rehearsal=True, outcome=RunOutcome.DONE).order_by("pk")
        return {run.kind: run.ended_at for run in done if run.ended_at and run.has_kept_promise}

    def rollbacks(self) -> Self:
        """Return the rollbacks that are no rehearsals, the last one first."""
        return self.filter(kind__in=LEVELS, is_rehearsal=False).order_by("-pk")

    def not_undone(self) -> Self:
        """Return the runs whose data no undo has put back."""
        undos = RecoveryStep.objects.filter(run__undoes=models.OuterRef("pk"), name__in=UNDOES, outcome=RunOutcome.DONE)
        return self.exclude(models.Exists(undos))


class RecoveryRun(models.Model):
    """A rollback, an undo, a restore or a purge: what was promised, and how long it took.

    At most one run is open at a time. The process that holds its lease executes it.
    """

    kind = models.CharField(max_length=10, choices=RunKind)
    outcome = models.CharField(max_length=10, choices=RunOutcome, default=RunOutcome.RUNNING)
    actor = models.CharField(max_length=150)
    reason = models.TextField(blank=True, default="")
    pace = models.FloatField(
        default=1.0, help_text="the factor of a gradual rollback's holds; the promise is for pace 1"
    )
    promised_seconds = models.PositiveIntegerField(null=True, help_text="empty if nothing was promised")
    snapshot = models.CharField(
        max_length=500, blank=True, default="", help_text="the snapshot that the run took, or that it reads"
    )
    table = models.CharField(
        max_length=63, blank=True, default="", help_text="the only table that it restores; empty for all"
    )
    undoes = models.ForeignKey("self", models.PROTECT, null=True, related_name="undone_by")
    is_rehearsal = models.BooleanField(
        "rehearsal", default=False, help_text="executed on a copy, in a scratch database"
    )
    waived_seconds = models.FloatField(default=0.0, help_text="the holds that a rehearsal did not wait for")
    is_for_workers = models.BooleanField(default=False, help_text="executed by the workers, not by a terminal")
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    worker = models.CharField(
        max_length=300,
        blank=True,
        default="",
        help_text="host, process id and start time of the process that executes it",
    )
    lease_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(db_default=0)

    objects = RecoveryRunQuerySet.as_manager()

    class Meta:
        app_label = "rollout"
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=RunKind.values), name="recovery_run_kind_known"),
            models.CheckConstraint(condition=Q(outcome__in=RunOutcome.values), name="recovery_run_outcome_known"),
            models.CheckConstraint(
                condition=Q(outcome__in=OPEN, ended_at=None) | (~Q(outcome__in=OPEN) & Q(ended_at__isnull=False)),
                name="recovery_run_ended",
            ),
            models.UniqueConstraint(
                fields=["is_rehearsal"], condition=Q(ended_at=None, is_rehearsal=False), name="recovery_run_one_open"
            ),
        ]
        permissions = [
            ("emergency_recoveryrun", "Can roll back in an emergency"),
            ("standard_recoveryrun", "Can roll back, standard"),
            ("gradual_recoveryrun", "Can roll back gradually"),
            ("restore_recoveryrun", "Can restore snapshots and undo rollbacks"),
            ("purge_recoveryrun", "Can drop what a rollback quarantined"),
            ("rehearse_recoveryrun", "Can rehearse rollbacks"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"

    @property
    def level(self) -> RunKind:
        return RunKind(self.kind)

    @property
    def target(self) -> "RecoveryRun":
        """The run that this one undoes or purges; the run itself if it does neither."""
        return self.undoes or self

    @property
    def is_undone(self) -> bool:
        """True if an undo put its data back, even if a later step of the undo failed."""
        return not RecoveryRun.objects.filter(pk=self.pk).not_undone().exists()

    @property
    def schema(self) -> str:
        """The schema into which an emergency moves the tables that it takes out of service."""
        return f"quarantine_{self.pk}"

    @property
    def leftover_schema(self) -> str:
        """The schema into which the undo moves the stand-in tables to which rows were written."""
        return f"{self.schema}_left"

    @property
    def actual_seconds(self) -> float | None:
        """The time that the run took, in seconds; None while it is open."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None

    @property
    def can_keep_promise(self) -> bool:
        """True if a time was promised, and the run has the pace for which it was promised."""
        return self.promised_seconds is not None and (self.pace == 1 or self.is_rehearsal)

    @property
    def has_kept_promise(self) -> bool | None:
        """True if the run is done and took no longer than promised; None if it is open or has no promise to keep.

        The holds that a rehearsal did not wait for count as if it had waited.
        """
        if self.promised_seconds is None or self.actual_seconds is None or not self.can_keep_promise:
            return None
        return self.outcome == RunOutcome.DONE and self.actual_seconds + self.waived_seconds <= self.promised_seconds


class RecoveryStep(models.Model):
    """A step that a run executed or is executing. Steps are stored in the order in which they began."""

    run = models.ForeignKey(RecoveryRun, models.CASCADE, related_name="steps")
    name = models.CharField(max_length=32)
    outcome = models.CharField(max_length=10, choices=RunOutcome, default=RunOutcome.RUNNING)
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    evidence = models.JSONField(default=dict, help_text="what the step found and did")

    class Meta:
        app_label = "rollout"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["run", "name"], name="recovery_step_once"),
            models.CheckConstraint(condition=Q(outcome__in=RunOutcome.values), name="recovery_step_outcome_known"),
        ]

    def __str__(self) -> str:
        return f"{self.run} {self.name}"

    @property
    def seconds(self) -> float | None:
        """The time that the step took, in seconds; None while it is executed."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None
