"""Validating: choose checks, run them, keep what they found, tell of what turned."""

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
from validation.verdict import Outcome, overall, summary

BAD = (Result.FAIL, Result.ERROR)
LATE = timedelta(minutes=20)  # one comes every 15


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
    start, full, chosen = time.monotonic(), _last_full(suite), [each for each in chosen if _is_wanted(each)]
    try:
        moment, outcomes = run_checks(chosen, is_full=is_full, since=full.started_at if full else None)
    except CannotRun as error:
        _tell_once("validation_cannot_run", f"no validation: {error}")
        raise
    if full is not None and not is_full:
        outcomes = _with_what_stands(outcomes, full)
    made = ValidationRun(
        suite=suite,
        category=category or "",
        is_full=is_full,
        overall=overall([outcome.finding.result for outcome in outcomes]),
        total=len(outcomes),
        passed=summary(outcomes)["passed"],
        seconds=time.monotonic() - start,
        requested_by=actor.get_username(),
        started_at=moment,
    )
    return Report(suite, outcomes, made.seconds, _store(made, outcomes))


def _is_wanted(check: Check) -> bool:
    try:
        return check.when()
    except Error:  # then it says itself what is wrong
        return True


def _last_full(suite: Suite) -> ValidationRun | None:
    """The last one that looked at everything."""
    sampled = [each.id for each in checks(suite) if each.is_sampled]
    broken = CheckResult.objects.filter(run=OuterRef("pk"), check_id__in=sampled, result=Result.ERROR)
    try:
        runs = ValidationRun.objects.filter(~Exists(broken), suite=suite, category="", is_full=True)
        return runs.order_by("-started_at").first()
    except Error:  # the checks say what is wrong
        return None


def _with_what_stands(outcomes: Sequence[Outcome], full: ValidationRun) -> list[Outcome]:
    """What only the full run saw is not well because a sample missed it."""
    found = {result.check_id: result for result in full.results.filter(result=Result.FAIL)}
    return [
        replace(outcome, finding=_standing(found[outcome.check.id]))
        if outcome.check.is_sampled and outcome.finding.result is Result.PASS and outcome.check.id in found
        else outcome
        for outcome in outcomes
    ]


def _standing(result: CheckResult) -> Finding:
    return Finding(
        Result.FAIL,
        result.value,
        result.limit,
        f"{result.message}, as the last full run found; a sample now saw nothing of it",
        f"{result.remedy}; then: manage.py validate --full",
        tuple(result.offending),
        result.offending_count,
        result.links,
    )


def _store(run: ValidationRun, outcomes: Sequence[Outcome]) -> int | None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql.ONE_AT_A_TIME)  # or two runs at once would both tell of what turned
            before = _newest(outcomes)
            run.save()
            CheckResult.objects.bulk_create(_row(run, outcome) for outcome in outcomes)
    except Error as error:
        said = redact(first_line(error))
        bad = ", ".join(each.check.id for each in outcomes if each.finding.result in BAD) or "nothing"
        _tell_once("validation_not_stored", f"a validation could not be stored: {said}; it found wrong: {bad}")
        return None
    _tell(before, outcomes)
    _forget("validation_cannot_run", "validation_not_stored", "validation_missed")
    return run.pk


def _row(run: ValidationRun, outcome: Outcome) -> CheckResult:
    found = outcome.finding
    return CheckResult(
        run=run,
        check_id=outcome.check.id,
        category_name=outcome.check.category,
        result=found.result,
        value=str(found.value)[:100],
        limit=str(found.limit)[:100],
        message=found.message,
        remedy=found.remedy,
        offending=list(found.offending),
        offending_count=found.offending_count,
        links=found.links,
        ms=outcome.ms,
    )


def _newest(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Of each check, what was found last; one look into an index each."""
    before = {}
    for outcome in outcomes:
        results = (
            CheckResult.objects.filter(check_id=outcome.check.id).order_by("-run").values_list("result", flat=True)
        )
        if (last := results.first()) is not None:
            before[outcome.check.id] = last
    return before


def _tell(before: dict[str, str], outcomes: Sequence[Outcome]) -> None:
    """Once when a check turns, and once when it turns back."""
    for outcome in outcomes:
        is_bad, was_bad = outcome.finding.result in BAD, before.get(outcome.check.id, Result.PASS) in BAD
        if is_bad and not was_bad:
            said = f"{outcome.check.id} fails: {outcome.finding.message}; {outcome.finding.remedy}"
            notify(Event("check_failed", outcome.check.id, said))
        elif was_bad and not is_bad:
            notify(Event("check_recovered", outcome.check.id, f"{outcome.check.id} is well again"))


def watch() -> None:
    """Tell once where no run came by itself for too long. On another queue than the runs."""
    runs = ValidationRun.objects.by_themselves(Suite.EXIT)
    last = runs.first()
    if last is not None and not runs.filter(started_at__gt=Now() - LATE).exists():
        said = f"no validation came by itself since {last.started_at:%Y-%m-%d %H:%M} UTC; look at the workers of slow"
        _tell_once("validation_missed", said)


def _tell_once(kind: str, said: str) -> None:
    """Until a run is stored again; each time, where Redis does not remember."""
    try:
        is_new = bool(client().set(key(kind), 1, nx=True, ex=86400))
    except redis.RedisError:
        is_new = True
    if is_new:
        notify(Event(kind, "validation", said))


def _forget(*kinds: str) -> None:
    with suppress(redis.RedisError):
        client().delete(*map(key, kinds))


def prune() -> int:
    """Delete runs past their retention. Returns how many rows."""
    old = ValidationRun.objects.filter(started_at__lt=Now() - timedelta(days=ValidationRun.KEEP_DAYS))
    return old.delete()[0]
