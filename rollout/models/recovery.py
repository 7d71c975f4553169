"""Tables of recovery."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rollout.choices import RunKind, RunOutcome

LEVELS = [RunKind.EMERGENCY, RunKind.STANDARD, RunKind.GRADUAL]
UNDOES = ["put_back", "restore"]  # steps
OPEN = [RunOutcome.RUNNING, RunOutcome.PAUSED]


class Snapshot(models.Model):
    """A recovery snapshot on disk. Its manifest is the truth; this row tells where it is, and if it was read back."""

    name = models.SlugField(max_length=40, unique=True)
    host = models.CharField(max_length=253, help_text="that holds it")
    folder = models.CharField(max_length=500)
    reason = models.TextField(blank=True, default="")
    made_by = models.CharField(max_length=150)
    tables = models.PositiveIntegerField()
    rows = models.PositiveBigIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    seconds = models.FloatField()
    verified_at = models.DateTimeField(null=True, help_text="read back whole, and found as it was made")
    problem = models.TextField(blank=True, default="", help_text="what reading it back found")
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
        """What reading it back found."""
        return "damaged" if self.problem else "read back" if self.verified_at else "not read back yet"


class RecoveryRunQuerySet(models.QuerySet["RecoveryRun"]):
    def open(self) -> Self:
        """The real one that is under way; there is one at most."""
        return self.filter(ended_at=None, is_rehearsal=False)

    def last_rehearsals(self) -> dict[str, "RecoveryRun"]:
        """By level."""
        last = self.filter(is_rehearsal=True).order_by("kind", "-pk").distinct("kind")
        return {run.kind: run for run in last}

    def rollbacks(self) -> Self:
        """Real ones, the last first."""
        return self.filter(kind__in=LEVELS, is_rehearsal=False).order_by("-pk")

    def not_undone(self) -> Self:
        undos = RecoveryStep.objects.filter(run__undoes=models.OuterRef("pk"), name__in=UNDOES, outcome=RunOutcome.DONE)
        return self.exclude(models.Exists(undos))


class RecoveryRun(models.Model):
    """A rollback, its undo, a restore or a purge: what was promised, and how long it took. One at a time; whoever has
    the lease carries it out.
    """

    kind = models.CharField(max_length=10, choices=RunKind)
    outcome = models.CharField(max_length=10, choices=RunOutcome, default=RunOutcome.RUNNING)
    actor = models.CharField(max_length=150)
    reason = models.TextField(blank=True, default="")
    pace = models.FloatField(default=1.0, help_text="of a gradual one's holds; only 1 can keep its promise")
    promised_seconds = models.PositiveIntegerField(null=True, help_text="empty: nothing was promised")
    snapshot = models.CharField(max_length=500, blank=True, default="", help_text="made by it, or read by it")
    table = models.CharField(max_length=63, blank=True, default="", help_text="what it restores; empty: all")
    undoes = models.ForeignKey("self", models.PROTECT, null=True, related_name="undone_by")
    is_rehearsal = models.BooleanField("rehearsal", default=False, help_text="on a copy, in a database of its own")
    waived_seconds = models.FloatField(default=0.0, help_text="holds that a rehearsal did not wait for")
    is_for_workers = models.BooleanField(default=False, help_text="carried out by the workers, not by a terminal")
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=300, blank=True, default="", help_text="host and process that carry it out")
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
    def is_undone(self) -> bool:
        """Its data is back, whatever the undo found afterwards."""
        return not RecoveryRun.objects.filter(pk=self.pk).not_undone().exists()

    @property
    def schema(self) -> str:
        """Where an emergency puts what it takes out of service."""
        return f"quarantine_{self.pk}"

    @property
    def left_schema(self) -> str:
        """Where its undo puts what was written to the tables that stood in."""
        return f"{self.schema}_left"

    @property
    def actual_seconds(self) -> float | None:
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None

    @property
    def can_keep_promise(self) -> bool:
        """Where one was given, and it goes at the pace that it was given for."""
        return self.promised_seconds is not None and (self.pace == 1 or self.is_rehearsal)

    @property
    def has_kept_promise(self) -> bool | None:
        """None: there is none to keep, or it is not over. Holds that a rehearsal did not wait for count too."""
        if self.promised_seconds is None or self.actual_seconds is None or not self.can_keep_promise:
            return None
        return self.outcome == RunOutcome.DONE and self.actual_seconds + self.waived_seconds <= self.promised_seconds


class RecoveryStep(models.Model):
    """What a run did, in the order in which it did it."""

    run = models.ForeignKey(RecoveryRun, models.CASCADE, related_name="steps")
    name = models.CharField(max_length=32)
    outcome = models.CharField(max_length=10, choices=RunOutcome, default=RunOutcome.RUNNING)
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    evidence = models.JSONField(default=dict, help_text="what was found and done")

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
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None
