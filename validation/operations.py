"""Validating: choose checks, run them, keep what they found, tell of what turned."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import Error, transaction
from django.db.models.functions import Now

from rollout.actors import Actor, require
from rollout.criteria import Result, Suite, categories, checks
from rollout.errors import WrongInput
from rollout.notify import Event, notify
from validation.models import CheckResult, ValidationRun
from validation.runner import run_checks
from validation.verdict import Outcome, overall, summary

BAD = (Result.FAIL, Result.ERROR)
log = structlog.get_logger("slipway.validation")


@dataclass(frozen=True, slots=True)
class Report:
    suite: Suite
    outcomes: Sequence[Outcome]
    seconds: float
    stored_as: int | None  # the run's id; None: it could not be stored

    @property
    def overall(self) -> Result:
        return overall([outcome.finding.result for outcome in self.outcomes])

    def document(self) -> dict[str, Any]:
        run = {"suite": self.suite.value, "seconds": round(self.seconds, 3), "run": self.stored_as}
        return summary(self.outcomes) | run | {"checks": [outcome.document() for outcome in self.outcomes]}


def validate(suite: Suite = Suite.EXIT, category: str | None = None, *, is_full: bool = False, actor: Actor) -> Report:
    """Raises WrongInput for a category that the suite lacks, CannotRun without a database."""
    require(actor, "validation.run_validationrun")
    chosen = checks(suite, category)
    if not chosen:
        known = ", ".join(categories(suite))
        raise WrongInput(f"no check of {suite.value} has the category {category!r}", f"take one of {known}")
    start = time.monotonic()
    outcomes = run_checks(chosen, is_full=is_full, since=_last_full(suite))
    seconds = time.monotonic() - start
    pk = _store(suite, category or "", is_full, outcomes, seconds, actor)
    return Report(suite, outcomes, seconds, pk)


def _last_full(suite: Suite) -> datetime | None:
    try:
        runs = ValidationRun.objects.filter(suite=suite, category="", is_full=True)
        found = runs.order_by("-started_at").values_list("started_at", flat=True).first()
    except Error:  # the checks say what is wrong
        return None
    return found


def _store(
    suite: Suite, category: str, is_full: bool, outcomes: Sequence[Outcome], seconds: float, actor: Actor
) -> int | None:
    try:
        with transaction.atomic():
            before = _results(suite, category)
            told = summary(outcomes)
            run = ValidationRun.objects.create(
                suite=suite,
                category=category,
                is_full=is_full,
                overall=told["overall"],
                total=told["total"],
                passed=told["passed"],
                seconds=seconds,
                requested_by=actor.get_username(),
            )
            CheckResult.objects.bulk_create(_row(run, outcome) for outcome in outcomes)
    except Error as error:
        log.warning("the run could not be stored", error=(str(error).splitlines() or [""])[0])
        return None
    _tell(before, outcomes)
    return run.pk


def _row(run: ValidationRun, outcome: Outcome) -> CheckResult:
    found = outcome.finding
    return CheckResult(
        run=run,
        check_id=outcome.check.id,
        category_name=outcome.check.category,
        result=found.result,
        value=found.value[:100],
        limit=found.limit[:100],
        message=found.message,
        remedy=found.remedy,
        offending=list(found.offending),
        offending_count=found.offending_count,
        links=found.links,
        ms=outcome.ms,
    )


def _results(suite: Suite, category: str) -> dict[str, str]:
    """Of each check, what the newest run found that had all of those that run now."""
    last = ValidationRun.objects.filter(suite=suite, category__in={"", category}).order_by("-pk").first()
    return dict(last.results.values_list("check_id", "result")) if last else {}


def _tell(before: dict[str, str], outcomes: Sequence[Outcome]) -> None:
    """Once when a check turns, and once when it turns back."""
    for outcome in outcomes:
        is_bad, was_bad = outcome.finding.result in BAD, before.get(outcome.check.id, Result.PASS) in BAD
        if is_bad and not was_bad:
            said = f"{outcome.check.id} fails: {outcome.finding.message}; {outcome.finding.remedy}"
            notify(Event("check_failed", outcome.check.id, said))
        elif was_bad and not is_bad:
            notify(Event("check_recovered", outcome.check.id, f"{outcome.check.id} is well again"))


def prune() -> int:
    """Delete runs past their retention. Returns how many rows."""
    old = ValidationRun.objects.filter(started_at__lt=Now() - timedelta(days=ValidationRun.KEEP_DAYS))
    return old.delete()[0]
