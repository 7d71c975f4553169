"""The tables of what happened: the transitions of rollouts, the record of a stage visit, and readings of its guards."""

import msgspec
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from core.db.append_only import append_only
from rollout.choices import Guard, RunState, Stage, Verdict
from rollout.decisions.record import VisitRecord
from rollout.models.rollouts import Rollout


class Transition(models.Model):
    """A change of a rollout: what, by whom, why, and on which evidence."""

    KEEP_DAYS = 730

    rollout = models.ForeignKey(Rollout, models.CASCADE, related_name="transitions")
    epoch = models.PositiveBigIntegerField(help_text="epoch that the transition began")
    verb = models.CharField(max_length=16)
    from_stage = models.CharField(max_length=16, choices=Stage)
    to_stage = models.CharField(max_length=16, choices=Stage)
    percent = models.PositiveSmallIntegerField()
    run_state = models.CharField(max_length=8, choices=RunState)
    pace = models.FloatField()
    actor = models.CharField(max_length=150)
    reason = models.TextField()
    evidence = models.JSONField(default=list, help_text="the judgments of the guards at that moment")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-epoch"]
        constraints = [models.UniqueConstraint(fields=["rollout", "epoch"], name="transition_one_per_epoch")]
        triggers = append_only(keep_days=730, column="at")

    def __str__(self) -> str:
        return f"{self.rollout} {self.verb}: {self.from_stage} to {self.to_stage}"


_records = msgspec.json.Decoder(VisitRecord)


class VisitEvidence(models.Model):
    """The record of a rollout's present stage visit, which each tick continues.

    tick: grows by one with each tick. Redis keeps it too: if it has a larger one, this database was restored.
    record: a `rollout.decisions.record.VisitRecord` as JSON.
    """

    rollout = models.OneToOneField(Rollout, models.CASCADE, primary_key=True, related_name="evidence")
    visit = models.UUIDField()
    tick = models.PositiveBigIntegerField()
    judged_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(db_default=Now(), help_text="when the guards' readings were stored last")
    record = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.rollout} at tick {self.tick}"

    def decoded(self) -> VisitRecord:
        """Return the record."""
        return _records.decode(bytes(self.record))


class GuardReading(models.Model):
    """The judgment of one guard at one tick, for the charts.

    value, control, bound: as `rollout.decisions.guards.Judgment` has them.
    """

    KEEP_DAYS = 7

    rollout = models.ForeignKey(Rollout, models.CASCADE, related_name="readings")
    epoch = models.PositiveBigIntegerField()
    stage = models.CharField(max_length=16, choices=Stage)
    guard = models.CharField(max_length=16, choices=Guard)
    name = models.CharField(max_length=30, db_default="", help_text="the guard's, or that of an own metric")
    value = models.FloatField(null=True)
    control = models.FloatField(null=True)
    bound = models.FloatField(null=True)
    limit = models.FloatField()
    samples = models.PositiveBigIntegerField()
    verdict = models.CharField(max_length=12, choices=Verdict)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["rollout", "name", "-at"], name="guard_reading_by_name"),
            BrinIndex(fields=["at"], name="guard_reading_age"),
        ]

    def __str__(self) -> str:
        return f"{self.guard} {self.verdict}"
