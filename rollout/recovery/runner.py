"""The execution of recovery runs: one run at a time, step by step, each step recorded.

The process that executes a run holds its lease. If that process dies, another one resumes at the first unfinished step.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import Error, IntegrityError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from core.access.actors import Actor
from core.db.leases import Lease
from core.errors import SlipwayError, first_line
from core.notices.notify import Event, notify
from core.redaction import redact
from core.text import duration
from rollout.choices import RunKind, RunOutcome
from rollout.models import RecoveryRun, RecoveryStep
from rollout.recovery import worker_id

LEASE_SECONDS, RENEW_SECONDS = 60.0, 10.0
NO_LEASE = Q(lease_until=None) | Q(lease_until__lt=Now())
CHANGES_DATA = ("quarantine", "clean_up")  # the steps that change the data of a level
PROMISED = {RunKind.EMERGENCY: 300, RunKind.STANDARD: 900, RunKind.GRADUAL: 1800}  # seconds
LIST_REMEDY = "see Recovery runs in the admin"
Evidence = dict[str, Any]  # JSON; evidence.py describes it for each step
ReportStep = Callable[[RecoveryStep], None]


class UnderWay(SlipwayError):
    """The error that another run is open, or that another process executes this one."""


class Failed(SlipwayError):
    """The error that a run ended without all that it should have done."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a run, with the steps of an undo that take it back.

    name: stored with the run; a run executes a step of each name once.
    summary: what the step does, for plans and confirmation pages.
    action: does the work, and ends the step through `finishing`. It is idempotent: a process that resumes the run calls
    it again. It raises an exception if the step fails.
    undo: the steps that take this one back, in their order. Empty if its effect stays or was none.
    may_fail: the steps after this one are executed even if it fails; the run fails in the end.
    """

    name: str
    summary: str
    action: Callable[[RecoveryRun], object]
    undo: "tuple[Step, ...]" = ()
    may_fail: bool = False


def begin_run(
    kind: RunKind,
    *,
    actor: Actor,
    reason: str = "",
    snapshot: str | None = None,
    table: str | None = None,
    undoes: RecoveryRun | None = None,
    pace: float | None = None,
    is_for_workers: bool = False,
) -> RecoveryRun:
    """Begin a run, or return the open one if it is the same; the caller executes it.

    Two runs are the same if their kinds are equal, and also snapshot, table, undoes and pace, as far as they are given.
    An emergency or a standard rollback ends a gradual one, because it goes further.
    Raises UnderWay if another run is open.
    """
    optional = {"snapshot": snapshot, "table": table, "undoes": undoes, "pace": pace}
    columns: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
    username = actor.get_username()
    try:
        with transaction.atomic():
            open_run = RecoveryRun.objects.open().select_for_update().first()
            if open_run and open_run.kind == kind and _has(open_run, columns):
                return open_run
            if open_run:
                _end_for(open_run, kind, undoes)
            run = RecoveryRun.objects.create(
                kind=kind,
                actor=username,
                reason=reason,
                promised_seconds=PROMISED.get(kind),
                is_for_workers=is_for_workers,
                **columns,
            )
    except IntegrityError as error:
        raise UnderWay(f"cannot begin {kind.value}: another run began at the same time", LIST_REMEDY) from error
    message = f"{run} began, by {username}: {reason or 'no reason given'}"
    transaction.on_commit(lambda: notify(Event("recovery_run", str(run), message)))
    run.refresh_from_db()
    return run


def _has(run: RecoveryRun, columns: dict[str, Any]) -> bool:
    return all(getattr(run, name) == value for name, value in columns.items())


def _end_for(open_run: RecoveryRun, kind: RunKind, undoes: RecoveryRun | None) -> None:
    """End the open run, so that one of this kind can begin. Raises UnderWay if it has to end by itself.

    A gradual rollback ends for an emergency or a standard one. Any other run ends only if no process executes it; and
    if it changed data, only for its own undo or for an emergency.
    """
    if open_run.kind == RunKind.GRADUAL:
        may_end, outcome = kind in (RunKind.EMERGENCY, RunKind.STANDARD), RunOutcome.CUT_SHORT
    else:
        is_replaceable = kind == RunKind.EMERGENCY or undoes == open_run or not _has_changed_data(open_run)
        may_end, outcome = is_replaceable and _is_abandoned(open_run), RunOutcome.FAILED
    if not may_end:
        cause = f"{open_run} is under way, begun by {open_run.actor}"
        raise UnderWay(f"cannot begin {kind.value}: {cause}", f"wait, or finish it: {resume_command(open_run)}")
    end_run(open_run, outcome)


def _has_changed_data(run: RecoveryRun) -> bool:
    return run.kind in PROMISED and run.steps.filter(name__in=CHANGES_DATA, outcome=RunOutcome.DONE).exists()


def _is_abandoned(run: RecoveryRun) -> bool:
    return worker_id.is_gone(run.worker) or RecoveryRun.objects.filter(NO_LEASE, pk=run.pk).exists()


def resume_command(run: RecoveryRun) -> str:
    """Return the command that resumes the run, if the process that executed it died."""
    match run.level:
        case RunKind.UNDO:
            return "manage.py restore --undo"
        case RunKind.PURGE:
            return f"manage.py rollback --purge {run.target.pk}"
        case RunKind.RESTORE:
            return f"manage.py restore {run.snapshot}" + (f" --table {run.table}" if run.table else "")
        case level:
            return f"manage.py rollback --level {level.value}" + (f" --pace {run.pace:g}" if run.pace != 1 else "")


@contextmanager
def leased(run: RecoveryRun) -> Iterator[RecoveryRun]:
    """Hold the run's lease while the block executes it. Raises UnderWay if another process holds it."""
    # core.db.leases claims any free row of a table; this claims one row by its id, and records who holds it.
    is_free = NO_LEASE | Q(worker=run.worker) if worker_id.is_gone(run.worker) else NO_LEASE
    claim = {
        "fence": F("fence") + 1,
        "worker": worker_id.current_worker_id(),
        "lease_until": Now() + timedelta(seconds=LEASE_SECONDS),
    }
    is_claimed = bool(RecoveryRun.objects.filter(is_free, pk=run.pk, ended_at=None).update(**claim))
    run.refresh_from_db()
    if not is_claimed:
        raise _not_claimable(run)
    lease, is_over = _lease_of(run), threading.Event()
    renewing = threading.Thread(target=_renew, args=(lease, is_over), name=f"slipway-run-{run.pk}", daemon=True)
    renewing.start()
    try:
        yield run
    finally:
        is_over.set()
        with suppress(Error):
            lease.release()
        renewing.join()


def _not_claimable(run: RecoveryRun) -> UnderWay:
    if run.ended_at is not None:
        return UnderWay(f"cannot execute {run}: it has ended ({run.get_outcome_display().lower()})", LIST_REMEDY)
    holder = worker_id.describe_worker(run.worker)
    remedy = f"wait until it ends; if that process died, run this after {LEASE_SECONDS:g} s: {resume_command(run)}"
    return UnderWay(f"cannot execute {run}: {holder} is executing it", remedy)


def _lease_of(run: RecoveryRun) -> Lease:
    return Lease(RecoveryRun._meta.db_table, run.pk, run.fence)


def _renew(lease: Lease, is_over: threading.Event) -> None:
    while not is_over.wait(RENEW_SECONDS):
        with suppress(Error):
            lease.renew(LEASE_SECONDS)
        connection.close()


def execute_steps(run: RecoveryRun, steps: Sequence[Step], *, progress: ReportStep | None = None) -> RecoveryRun:
    """Execute the steps that are not done yet, and end the run.

    progress: called with each step after it has ended.
    Raises UnderWay if another process executes the run; the run stays open. Raises the exception that stopped the run;
    the run has failed then.
    """
    with leased(run):
        for step in steps:
            try:
                executed = _execute_step(run, step)
                if progress:
                    progress(executed)
            except UnderWay:
                raise
            except Exception:  # for any reason: a run that stays open would hold up every other one
                end_run(run, RunOutcome.FAILED)
                raise
        has_failed = run.steps.filter(outcome=RunOutcome.FAILED).exists()
        end_run(run, RunOutcome.FAILED if has_failed else RunOutcome.DONE)
    run.refresh_from_db()
    return run


def _execute_step(run: RecoveryRun, step: Step) -> RecoveryStep:
    row, _ = RecoveryStep.objects.get_or_create(run=run, name=step.name)
    if row.outcome == RunOutcome.DONE:
        return row
    unfinished = RecoveryStep.objects.filter(pk=row.pk).exclude(outcome=RunOutcome.DONE)
    unfinished.update(outcome=RunOutcome.RUNNING, started_at=Now(), ended_at=None)
    try:
        step.action(run)
    except UnderWay:
        raise
    except Exception as error:
        with _fenced(run):
            problem = redact(first_line(error, type(error).__name__))
            end_step(run, step.name, RunOutcome.FAILED, {"problem": problem})
        if not step.may_fail:
            raise
    row.refresh_from_db()
    if row.ended_at is None:
        raise RuntimeError(f"the action of the step {step.name} did not finish it")
    return row


@contextmanager
def finishing(run: RecoveryRun, name: str) -> Iterator[Evidence]:
    """Run the block, which fills in the evidence, and end the step as done: all in one transaction or not at all.

    A step therefore counts as done exactly if its changes are committed, even if the process is killed.
    Raises UnderWay if this process lost the lease; then another one executes the run.
    """
    with _fenced(run):
        evidence: Evidence = {}
        yield evidence
        end_step(run, name, RunOutcome.DONE, evidence)


@contextmanager
def _fenced(run: RecoveryRun) -> Iterator[None]:
    """Run the block in one transaction that locks the run.

    Raises UnderWay if this process lost the lease, or another one ended the run.
    """
    with transaction.atomic():
        if not _lease_of(run).hold() or not RecoveryRun.objects.filter(pk=run.pk, ended_at=None).exists():
            raise UnderWay(f"cannot go on with {run}: another process took it over, or it was ended", LIST_REMEDY)
        yield


def end_step(run: RecoveryRun, name: str, outcome: RunOutcome, evidence: Evidence) -> None:
    """Record how the step ended. A step that is done stays as it is. The caller's transaction holds the run's row."""
    unfinished = RecoveryStep.objects.filter(run=run, name=name).exclude(outcome=RunOutcome.DONE)
    unfinished.update(outcome=outcome, ended_at=Now(), evidence=evidence)


def end_run(run: RecoveryRun, outcome: RunOutcome) -> None:
    """End the run, and the steps that are still open, and notify. If this process lost the lease, change nothing."""
    if RecoveryRun.objects.filter(pk=run.pk, fence=run.fence, ended_at=None).update(outcome=outcome, ended_at=Now()):
        run.refresh_from_db()
        run.steps.filter(ended_at=None).update(outcome=outcome, ended_at=Now())
        message = f"{run}: {outcome.label.lower()} after {run.actual_seconds or 0:.1f} s{promise_clause(run)}"
        transaction.on_commit(lambda: notify(Event("recovery_run", str(run), message)))


def promise_clause(run: RecoveryRun) -> str:
    """Return a clause such as `, promised 15 min`. If the run has no promise to keep, return an empty text."""
    return f", promised {duration(run.promised_seconds)}" if run.promised_seconds and run.can_keep_promise else ""


def step_evidence(run: RecoveryRun, name: str) -> Evidence:
    """Return the evidence of a step. If the step is not done, return an empty dictionary."""
    steps = run.steps.filter(name=name, outcome=RunOutcome.DONE)
    evidence: Evidence | None = steps.values_list("evidence", flat=True).first()
    return evidence or {}
