"""The table of rollouts: their stage and its clock."""

import uuid
from typing import Self

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from rollout.choices import RunState, Stage
from rollout.decisions.stages import serving_at


class RolloutQuerySet(models.QuerySet["Rollout"]):
    """Questions about rollouts."""

    def listed(self) -> Self:
        """Return the rollouts that are not archived."""
        return self.filter(archived_at=None)

    def unchanged_since(self, seen: "Rollout") -> Self:
        """Return the rollout `seen` if its epoch is still the one that was read, else no row."""
        return self.filter(pk=seen.pk, epoch=seen.epoch)


class Rollout(models.Model):
    """A new way of serving, its present stage and its clock. `rollout.operations.lifecycle` changes it.

    epoch: the number of changes; a change names the epoch that its author read, and is refused if it has grown since.
    visit: names the time in the present stage. Whenever a rollout enters a stage, another visit begins.
    attempt: names the time from a start, abort or trip to the next one. A trip binds the attempt in which it happened.
    settled_epoch: the epoch with which the attempt began. Only release 0.2.0 reads it.
    """

    name = models.SlugField(max_length=50, unique=True, help_text="name of the flag, as applications pass it to gate()")
    stage = models.CharField(max_length=16, choices=Stage, default=Stage.DISABLED)
    run_state = models.CharField(max_length=8, choices=RunState, default=RunState.IDLE)
    epoch = models.PositiveBigIntegerField(default=0, help_text="grows by one with every change")
    percent = models.PositiveSmallIntegerField(default=0, help_text="traffic share of the candidate, 0 to 100")
    pace = models.FloatField(default=1.0, help_text="0.05 shortens ten minutes to half a minute")
    stage_epoch = models.PositiveBigIntegerField(default=0, help_text="epoch with which the stage visit began")
    visit = models.UUIDField(
        default=uuid.uuid4, db_default=RandomUUID(), help_text="names the stage visit, which its measurements belong to"
    )
    attempt = models.UUIDField(
        default=uuid.uuid4, db_default=RandomUUID(), help_text="names the time up to the next start, abort or trip"
    )
    settled_epoch = models.PositiveBigIntegerField(
        default=0, help_text="epoch of the last start, abort or trip, which settles the trips of earlier epochs"
    )
    stage_entered_at = models.DateTimeField(db_default=Now())
    percent_entered_at = models.DateTimeField(
        db_default=Now(), help_text="when the stage, or its percent step, was entered"
    )
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_seconds = models.FloatField(default=0.0, help_text="since the stage, or its percent step, was entered")
    approved_by = models.CharField(max_length=150, blank=True, default="")
    approved_epoch = models.PositiveBigIntegerField(null=True, blank=True, help_text="epoch that the approval began")
    control_requests = models.PositiveBigIntegerField(
        default=0, help_text="control's sample of the stage before; its errors raise the hard limit of errors"
    )
    control_errors = models.PositiveBigIntegerField(default=0)
    control_slow_bucket = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="latency bucket of control's 95th percentile in the stage before"
    )
    cool_down_until = models.DateTimeField(
        null=True, blank=True, help_text="after a trip; the rollout cannot be started before"
    )
    archived_at = models.DateTimeField(
        null=True, blank=True, help_text="hidden since then; gates answer control, and it cannot be started"
    )
    unrecorded_transition = models.JSONField(
        null=True, blank=True, help_text="an abort that could not be written into the history yet"
    )

    objects = RolloutQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(stage__in=Stage.values), name="rollout_stage_known"),
            models.CheckConstraint(condition=Q(run_state__in=RunState.values), name="rollout_run_state_known"),
            models.CheckConstraint(condition=Q(percent__lte=100), name="rollout_percent_max_100"),
            models.CheckConstraint(condition=Q(pace__gt=0, pace__lte=10), name="rollout_pace_up_to_10"),
            models.CheckConstraint(
                condition=Q(run_state=RunState.PAUSED, paused_at__isnull=False)
                | (~Q(run_state=RunState.PAUSED) & Q(paused_at=None)),
                name="rollout_paused_since",
            ),
            models.CheckConstraint(
                condition=Q(archived_at=None) | Q(stage=Stage.DISABLED), name="rollout_archived_only_disabled"
            ),
            models.UniqueConstraint(
                Lower("name"),
                name="rollout_name_unique_in_any_case",
                violation_error_message="a rollout of this name exists already; upper and lower case are the same name",
            ),
        ]
        permissions = [
            ("start_rollout", "Can start rollouts"),
            ("advance_rollout", "Can advance rollouts"),
            ("approve_rollout", "Can approve advances"),
            ("pause_rollout", "Can pause rollouts"),
            ("resume_rollout", "Can resume rollouts"),
            ("abort_rollout", "Can abort rollouts"),
            ("freeze_rollout", "Can freeze automatic advances"),
            ("unfreeze_rollout", "Can unfreeze automatic advances"),
            ("archive_rollout", "Can archive and unarchive rollouts"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def served_percent(self) -> int:
        """The share of keys that the candidate serves, 0 to 100, without those that are held back in FULL_ACTIVE.

        In FULL_ACTIVE it reads the rollout's policies, which a list prefetches.
        """
        policies = self.policies.all() if self.stage == Stage.FULL_ACTIVE else ()
        held_back = sum(policy.hold_back_percent for policy in policies if policy.stage == self.stage)
        return serving_at(Stage(self.stage), self.percent, held_back).percent
