"""The tables of policies: those of a rollout's stages, and those of the guards of each stage."""

from collections.abc import Mapping
from functools import reduce
from operator import or_

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from core.access.audit import tracked
from rollout.choices import Consequence, Direction, Guard, Stage
from rollout.decisions.guards import FIRST_REQUESTS, OWN_GUARDS, Rule
from rollout.decisions.ranges import LIMIT_RANGES, MIN_SAMPLES, STAGE_RANGES, TOLERANCE, describe_outside
from rollout.decisions.stages import StagePlan
from rollout.models.rollouts import Rollout


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
    percents = ArrayField(
        models.PositiveSmallIntegerField(),
        default=list,
        blank=True,
        validators=[rising],
        help_text="shares of the candidate, in percent, increasing; the stage's time is divided evenly among them",
    )
    needs_approval = models.BooleanField(
        default=False, help_text="an operator must approve before a rollout leaves the stage"
    )
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
        """Return the rules of the guards that are switched on, in the order of `Guard`; without a policy one is off."""
        rules = [policy.rule for policy in self.guards.all() if policy.is_on]
        return sorted(rules, key=lambda rule: list(Guard).index(rule.guard))

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
    min_samples = models.PositiveIntegerField(
        default=50, help_text="number of observations below which the guard is inconclusive"
    )
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
    leads = models.CharField(
        max_length=10,
        choices=Consequence,
        default=Consequence.DISABLE,
        help_text="where a rollout goes if the guard is violated",
    )

    class Meta:
        verbose_name_plural = "guard policies"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "guard", "metric"], name="guard_policy_unique"),
            models.UniqueConstraint(fields=["policy", "metric"], condition=~Q(metric=""), name="guard_metric_unique"),
            models.CheckConstraint(condition=~Q(metric__in=Guard.values), name="guard_metric_is_no_guard"),
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
        if self.metric in Guard.values:
            return f"metric must not have the name of another guard (got {self.metric})"
        if self.guard not in OWN_GUARDS and self.metric:
            return f"metric must be empty for this guard (got {self.metric})"
        return ""
