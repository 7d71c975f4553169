"""The operations of validation: run checks, store the run, and notify operators of checks that changed."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import redis
from django.db import Error, connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from core.access.actors import Actor, require
from core.errors import WrongInput, first_line
from core.health_checks import Check, Finding, Result, Suite, categories, checks
from core.notices.notify import Event, notify
from core.redaction import redact
from core.redis import client, key
from validation import sql
from validation.models import CheckResult, ValidationRun
from validation.runner import CannotRun, run_checks
from validation.verdict import CheckOutcome, overall_result, summarize

BAD = (Result.FAIL, Result.ERROR)
OVERDUE_AFTER = timedelta(minutes=20)  # a run is scheduled every 15 minutes
REMEMBERED_SECONDS = 86400  # for how long one notice of a kind suppresses the next


@dataclass(frozen=True, slots=True)
class Report:
    """The outcomes of a run. `stored_as` is the id of the stored run, None if it could not be stored."""

    suite: Suite
    outcomes: Sequence[CheckOutcome]
    seconds: float
    stored_as: int | None

    @property
    def overall(self) -> Result:
        return overall_result([outcome.finding.result for outcome in self.outcomes])

    def document(self) -> dict[str, Any]:
        """Return the JSON document of `validate --format json`."""
        return {
            **summarize(self.outcomes),
            "suite": self.suite.value,
            "seconds": round(self.seconds, 3),
            "run": self.stored_as,
            "checks": [outcome.document() for outcome in self.outcomes],
        }


def validate(suite: Suite = Suite.EXIT, category: str | None = None, *, is_full: bool = False, actor: Actor) -> Report:
    """Run the suite, or one category of it, store the run, and notify operators of each check that changed.

    is_full: checks that sample look at everything.
    Raises Refused if the actor may not run validations, WrongInput if the suite has no such category, and CannotRun if
    the database does not answer.
    """
    require(actor, "validation.run_validationrun")
    chosen = checks(suite, category)
    if not chosen:
        known = ", ".join(categories(suite))
        raise WrongInput(
            f"cannot validate category {category!r}: the suite {suite.value} has no such category",
            f"use one of: {known}",
        )
    start, last_full = time.monotonic(), _last_full_run(suite)
    applicable = [check for check in chosen if _is_applicable(check)]
    try:
        moment, outcomes = run_checks(applicable, is_full=is_full, since=last_full.started_at if last_full else None)
    except CannotRun as error:
        _notify_once("validation_cannot_run", f"no validation took place: {error}")
        raise
    if last_full is not None and not is_full:
        outcomes = _with_findings_of(last_full, outcomes)
    run = ValidationRun(
        suite=suite,
        category=category or "",
        is_full=is_full,
        overall=overall_result([outcome.finding.result for outcome in outcomes]),
        total=len(outcomes),
        passed=summarize(outcomes)["passed"],
        seconds=time.monotonic() - start,
        requested_by=actor.get_username(),
        started_at=moment,
    )
    return Report(suite, outcomes, run.seconds, _store(run, outcomes))


def _is_applicable(check: Check) -> bool:
    """Return whether the check has something to look at. If that cannot be read, it runs and reports the fault."""
    try:
        return check.when()
    except Error:
        return True


def _last_full_run(suite: Suite) -> ValidationRun | None:
    """Return the last full run of the suite whose sampled checks all gave a result. None if it cannot be read."""
    sampled = [check.id for check in checks(suite) if check.is_sampled]
    broken = CheckResult.objects.filter(run=OuterRef("pk"), check_id__in=sampled, result=Result.ERROR)
    try:
        runs = ValidationRun.objects.filter(~Exists(broken), suite=suite, category="", is_full=True)
        return runs.order_by("-started_at").first()
    except Error:  # the checks report what is wrong with the table
        return None


def _with_findings_of(full: ValidationRun, outcomes: Sequence[CheckOutcome]) -> list[CheckOutcome]:
    """Return the outcomes, in which a fault that the full run found holds until the next full run.

    A sample that does not contain the fault does not prove that it is gone.
    """
    failed = {result.check_id: result for result in full.results.filter(result=Result.FAIL)}
    return [
        replace(outcome, finding=_earlier_finding(failed[outcome.check.id]))
        if outcome.check.is_sampled and outcome.finding.result is Result.PASS and outcome.check.id in failed
        else outcome
        for outcome in outcomes
    ]


def _earlier_finding(result: CheckResult) -> Finding:
    return Finding(
        Result.FAIL,
        result.value,
        result.limit,
        f"{result.message}, as the last full run found; the sample of this run does not contain it",
        f"{result.remedy}; then: manage.py validate --full",
        tuple(result.offending),
        result.offending_count,
        result.links,
    )


def _store(run: ValidationRun, outcomes: Sequence[CheckOutcome]) -> int | None:
    """Store the run and notify operators. Return its id, None if the database refused it."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql.STORE_ONE_AT_A_TIME)
            previous = _previous_results(outcomes)
            run.save()
            CheckResult.objects.bulk_create(_result_row(run, outcome) for outcome in outcomes)
    except Error as error:
        cause = redact(first_line(error))
        bad = ", ".join(outcome.check.id for outcome in outcomes if outcome.finding.result in BAD) or "none"
        _notify_once("validation_not_stored", f"cannot store a validation run: {cause}; its failed checks: {bad}")
        return None
    _notify_of_changes(previous, outcomes)
    _forget_notices("validation_cannot_run", "validation_not_stored", "validation_missed")
    return run.pk


def _result_row(run: ValidationRun, outcome: CheckOutcome) -> CheckResult:
    finding = outcome.finding
    return CheckResult(
        run=run,
        check_id=outcome.check.id,
        category_name=outcome.check.category,
        result=finding.result,
        value=str(finding.value)[:100],
        limit=str(finding.limit)[:100],
        message=finding.message,
        remedy=finding.remedy,
        offending=list(finding.offending),
        offending_count=finding.offending_count,
        links=finding.links,
        ms=outcome.ms,
    )


def _previous_results(outcomes: Sequence[CheckOutcome]) -> dict[str, str]:
    """Return the last stored result of each check that has one. An index answers each check's query."""
    previous = {}
    for outcome in outcomes:
        results = CheckResult.objects.filter(check_id=outcome.check.id).order_by("-run")
        last = results.values_list("result", flat=True).first()
        if last is not None:
            previous[outcome.check.id] = last
    return previous


def _notify_of_changes(previous: dict[str, str], outcomes: Sequence[CheckOutcome]) -> None:
    """Notify operators once when a check begins to fail, and once when it recovers."""
    for outcome in outcomes:
        check, finding = outcome.check.id, outcome.finding
        is_bad, was_bad = finding.result in BAD, previous.get(check, Result.PASS) in BAD
        if is_bad and not was_bad:
            notify(Event("check_failed", check, f"{check} fails: {finding.message}; {finding.remedy}"))
        elif was_bad and not is_bad:
            notify(Event("check_recovered", check, f"{check} has recovered"))


def notify_if_overdue() -> None:
    """Notify operators once if the last scheduled run of the exit suite is older than OVERDUE_AFTER (20 minutes).

    The task that calls it waits in another queue than the runs, so that a full queue of runs cannot hide itself.
    """
    runs = ValidationRun.objects.scheduled(Suite.EXIT)
    last = runs.first()
    if last is not None and not runs.filter(started_at__gt=Now() - OVERDUE_AFTER).exists():
        since = f"{last.started_at:%Y-%m-%d %H:%M} UTC"
        message = f"no scheduled validation took place since {since}; check beat and the workers of the queue slow"
        _notify_once("validation_missed", message)


def _notify_once(kind: str, message: str) -> None:
    """Notify operators, once until a run is stored again.

    Redis remembers the notice. If it does not answer, operators are notified each time.
    """
    try:
        is_new = bool(client().set(key(kind), 1, nx=True, ex=REMEMBERED_SECONDS))
    except redis.RedisError:
        is_new = True
    if is_new:
        notify(Event(kind, "validation", message))


def _forget_notices(*kinds: str) -> None:
    with suppress(redis.RedisError):
        client().delete(*map(key, kinds))


def prune() -> int:
    """Delete the runs that are past their retention, with their results. Return the number of deleted rows."""
    old = ValidationRun.objects.filter(started_at__lt=Now() - timedelta(days=ValidationRun.KEEP_DAYS))
    return old.delete()[0]
