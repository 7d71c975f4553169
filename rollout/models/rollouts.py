"""The tables of rollouts: their stage, their policies and their history."""

import uuid
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Self

import msgspec
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.indexes import BrinIndex
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from core.access.audit import tracked
from core.db.append_only import append_only
from rollout.choices import Consequence, Direction, Guard, RunState, Stage, Verdict
from rollout.decisions.guards import FIRST_REQUESTS, OWN_GUARDS, Rule
from rollout.decisions.ranges import LIMIT_RANGES, MIN_SAMPLES, STAGE_RANGES, TOLERANCE, describe_outside
from rollout.decisions.record import VisitRecord
from rollout.decisions.stages import StagePlan, serving_at


class RolloutQuerySet(models.QuerySet["Rollout"]):
    """Questions about rollouts."""

    def listed(self) -> Self:
        """Return the rollouts that are not archived."""
        return self.filter(archived_at=None)

    def unchanged_since(self, seen: "Rollout") -> Self:
        """Return the rollout `seen` if its epoch is still the one that was read, else no row."""
        return self.filter(pk=seen.pk, epoch=seen.epoch)


class Rollout(models.Model):
    """A new way of serving, its present stage and its clock. `rollout.operations.lifecycle` changes it."""

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


def rising(percents: list[int]) -> None:
    """Raise ValidationError unless the percents increase and each is 1 to 100.

    Migration 0003 names this function, so it keeps its name and place.
    """
    are_in_range = all(1 <= percent <= 100 for percent in percents)
    if not are_in_range or percents != sorted(set(percents)):
        got = ", ".join(map(str, percents))
        raise ValidationError(f"percents must increase, from 1 to 100 percent, for example 10, 25, 50 (got {got})")


def _in_range(name: str) -> Q:
    """Return the condition that a column of StagePolicy is in its range."""
    return Q(**{f"{name}__range": STAGE_RANGES[name].bounds})


@tracked()
class StagePolicy(models.Model):
    """The policy of one stage: its length, its traffic shares, and what a rollout needs to leave it."""

    rollout = models.ForeignKey(Rollout, models.CASCADE, related_name="policies")
    stage = models.CharField(max_length=16, choices=Stage)
    minutes = models.FloatField(help_text="length of the stage at pace 1, in minutes")
    percents = ArrayField(models.PositiveSmallIntegerField(), default=list, blank=True, validators=[rising])
    needs_approval = models.BooleanField(default=False)
    window_minutes = models.FloatField(
        null=True, blank=True, help_text="length of the window that is judged, in minutes; empty: the whole stage visit"
    )
    errors_in_a_row = models.PositiveSmallIntegerField(
        default=6, help_text="the rollout trips after so many ticks in a row at which a guard could not be measured"
    )
    first_requests = models.PositiveIntegerField(
        null=True,
        blank=True,
        default=FIRST_REQUESTS,
        db_default=FIRST_REQUESTS,
        help_text="the count of errors judges so many requests of the candidate, and then its rate does; empty: always",
    )
    hold_back_percent = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="share of the keys that control serves in FULL_ACTIVE, 0 to 50, so that it can be compared with",
    )
    cool_down_minutes = models.FloatField(
        default=15, help_text="after a trip out of this stage, the rollout cannot be started for so many minutes"
    )
    version = models.PositiveIntegerField(
        default=1, db_default=1, help_text="grows by one with each edit of this policy or of its guards"
    )

    class Meta:
        verbose_name_plural = "stage policies"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["rollout", "stage"], name="stage_policy_unique"),
            models.CheckConstraint(
                condition=Q(stage__in=[stage for stage in Stage if stage is not Stage.DISABLED]),
                name="stage_policy_stage_known",
            ),
            models.CheckConstraint(condition=_in_range("minutes"), name="stage_policy_minutes_in_range"),
            models.CheckConstraint(condition=_in_range("cool_down_minutes"), name="stage_policy_cool_down_in_range"),
            models.CheckConstraint(condition=_in_range("errors_in_a_row"), name="stage_policy_errors_in_range"),
            models.CheckConstraint(
                condition=Q(window_minutes=None) | _in_range("window_minutes"), name="stage_policy_window_1_to_60"
            ),
            models.CheckConstraint(
                condition=Q(first_requests=None) | _in_range("first_requests"), name="stage_policy_first_in_range"
            ),
            models.CheckConstraint(condition=_in_range("hold_back_percent"), name="stage_policy_hold_back_in_range"),
            models.CheckConstraint(
                condition=Q(stage=Stage.FULL_ACTIVE) | Q(hold_back_percent=0), name="stage_policy_hold_back_where_full"
            ),
            models.CheckConstraint(
                condition=Q(percents__contained_by=list(range(1, 101)), percents__len__lte=100),
                name="stage_policy_percents_1_to_100",
            ),
            models.CheckConstraint(
                condition=~Q(stage=Stage.PARTIAL_ACTIVE) | Q(percents__len__gt=0), name="stage_policy_has_shares"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rollout} {self.get_stage_display()}"

    @property
    def plan(self) -> StagePlan:
        """The policy as `rollout.decisions.stages` takes it."""
        return StagePlan(
            self.minutes, tuple(self.percents), self.needs_approval, self.errors_in_a_row, self.hold_back_percent
        )

    def rules(self) -> list[Rule]:
        """Return the rules of the guards that are switched on; a guard without a policy is off."""
        return [policy.rule for policy in self.guards.all() if policy.is_on]

    def clean(self) -> None:
        """Raise ValidationError if the percents are missing, or if a number is outside its range.

        The constraints require the same. A form checks only those whose fields it edits all, and names no number.
        """
        errors = {name: describe_outside(name, allowed, getattr(self, name)) for name, allowed in STAGE_RANGES.items()}
        if self.stage == Stage.PARTIAL_ACTIVE and not self.percents:
            errors["percents"] = "percents must be traffic shares in this stage, for example 10, 25, 50 (got none)"
        if self.stage != Stage.FULL_ACTIVE and self.hold_back_percent:
            errors["hold_back_percent"] = f"hold_back_percent must be 0 in this stage (got {self.hold_back_percent})"
        _raise_errors(errors)


def _raise_errors(errors: Mapping[str, str]) -> None:
    """Raise ValidationError with the texts that are not empty, by the name of their field."""
    if found := {name: text for name, text in errors.items() if text}:
        raise ValidationError(found)


def _limits_in_range() -> Q:
    """Return the condition that the limit of each guard is in the range of that guard."""
    conditions = (Q(guard=guard, at_most__range=allowed.bounds) for guard, allowed in LIMIT_RANGES.items())
    return reduce(or_, conditions)


@tracked()
class GuardPolicy(models.Model):
    """The limit of one guard in one stage, and where its violation leads."""

    policy = models.ForeignKey(StagePolicy, models.CASCADE, related_name="guards")
    guard = models.CharField(max_length=16, choices=Guard)
    is_on = models.BooleanField("on", default=True)
    at_most = models.FloatField(
        help_text="a number of errors, ms, or a share from 0 to 1; of the hit rate the share of misses"
    )
    min_samples = models.PositiveIntegerField(default=50)
    tolerance = models.FloatField(
        default=1.0, db_default=1.0, help_text="against control: how many times as bad as control; 1: no worse"
    )
    metric = models.SlugField(
        max_length=30, blank=True, default="", db_default="", help_text="name of an own metric, as observe() gets it"
    )
    worse = models.CharField(
        max_length=6,
        choices=Direction,
        default=Direction.HIGHER,
        db_default=Direction.HIGHER,
        help_text="direction in which an own metric becomes worse",
    )
    leads = models.CharField(max_length=10, choices=Consequence, default=Consequence.DISABLE)

    class Meta:
        verbose_name_plural = "guard policies"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "guard", "metric"], name="guard_policy_unique"),
            models.CheckConstraint(
                condition=Q(guard__in=OWN_GUARDS) & ~Q(metric="") | ~Q(guard__in=OWN_GUARDS) & Q(metric=""),
                name="guard_policy_metric_of_own_guards",
            ),
            models.CheckConstraint(condition=Q(worse__in=Direction.values), name="guard_policy_worse_known"),
            models.CheckConstraint(
                condition=Q(tolerance__range=TOLERANCE.bounds), name="guard_policy_tolerance_in_range"
            ),
            models.CheckConstraint(condition=Q(guard__in=Guard.values), name="guard_policy_guard_known"),
            models.CheckConstraint(condition=Q(leads__in=Consequence.values), name="guard_policy_leads_known"),
            models.CheckConstraint(
                condition=Q(min_samples__range=MIN_SAMPLES.bounds), name="guard_policy_samples_in_range"
            ),
            models.CheckConstraint(condition=_limits_in_range(), name="guard_policy_limit_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.policy} {self.metric or self.get_guard_display()}"

    @property
    def rule(self) -> Rule:
        """The policy as `rollout.decisions.judging` takes it."""
        return Rule(
            Guard(self.guard),
            self.at_most,
            self.min_samples,
            Consequence(self.leads),
            self.tolerance,
            self.metric,
            Direction(self.worse),
        )

    def clean(self) -> None:
        """Raise ValidationError if a number is outside its range.

        The constraints require the same. A form does not edit the guard, so it does not check that of its limit.
        """
        _raise_errors(
            {
                "at_most": describe_outside("at_most", LIMIT_RANGES[Guard(self.guard)], self.at_most),
                "min_samples": describe_outside("min_samples", MIN_SAMPLES, self.min_samples),
                "tolerance": describe_outside("tolerance", TOLERANCE, self.tolerance),
                "metric": self._describe_wrong_metric(),
            }
        )

    def _describe_wrong_metric(self) -> str:
        if self.guard in OWN_GUARDS and not self.metric:
            return "metric must be the name of an own metric, as observe() gets it (got none)"
        if self.guard not in OWN_GUARDS and self.metric:
            return f"metric must be empty for this guard (got {self.metric})"
        return ""


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
