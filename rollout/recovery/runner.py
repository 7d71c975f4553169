"""Recovery runs: one at a time, step by step, each step on record; whoever comes after a crash goes on where it was."""

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
from core.errors import SlipwayError, first_line
from core.notices.notify import Event, notify
from core.redaction import redact
from rollout.choices import RunKind, RunOutcome
from rollout.models import RecoveryRun, RecoveryStep
from rollout.recovery import worker_id

LEASE, RENEW_SECONDS = timedelta(seconds=60), 10.0
UNHELD = Q(lease_until=None) | Q(lease_until__lt=Now())
CHANGES_DATA = ("quarantine", "clean_up")  # steps
PROMISED = {RunKind.EMERGENCY: 300, RunKind.STANDARD: 900, RunKind.GRADUAL: 1800}  # seconds
Evidence = dict[str, Any]


class UnderWay(SlipwayError):
    """Another run is carried out, or this one by somebody else."""


class Failed(SlipwayError):
    """A run ended without having done all it should."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Step:
    """does: what is done, idempotent. One that may fail holds up none of those after it."""

    name: str
    says: str
    does: Callable[[RecoveryRun], Evidence]
    may_fail: bool = False


def begin(kind: RunKind, *, actor: Actor, reason: str = "", **more: Any) -> RecoveryRun:
    """Or the open one of that kind, which is to be finished. What goes further than a gradual one cuts that short.
    Raises UnderWay.
    """
    about = {name: value for name, value in more.items() if name in ("snapshot", "undoes", "table", "pace")}
    try:
        with transaction.atomic():
            found = RecoveryRun.objects.open().select_for_update().first()
            if found and found.kind == kind and all(getattr(found, name) == value for name, value in about.items()):
                return found
            if found:
                _give_way(found, kind, about.get("undoes"))
            username = actor.get_username()
            promised = PROMISED.get(kind)
            made = RecoveryRun(kind=kind, actor=username, reason=reason, promised_seconds=promised, **more)
            made.save()
    except IntegrityError as error:
        raise UnderWay("somebody began another run just now", "see Recovery runs in the admin") from error
    said = f"{made} was begun by {username}: {reason or 'no reason given'}"
    transaction.on_commit(lambda: notify(Event("recovery_run", str(made), said)))
    made.refresh_from_db()
    return made


def _give_way(found: RecoveryRun, kind: RunKind, undoes: RecoveryRun | None) -> None:
    """A gradual one to what goes further. One that nobody carries out any more to anything, but where it changed data
    only to its undo, or to an emergency.
    """
    goes_further = found.kind == RunKind.GRADUAL and kind in (RunKind.EMERGENCY, RunKind.STANDARD)
    may_give_way = kind == RunKind.EMERGENCY or undoes == found or not _has_changed_data(found)
    if goes_further:
        end(found, RunOutcome.CUT_SHORT)
    elif may_give_way and found.kind != RunKind.GRADUAL and _is_free(found):
        end(found, RunOutcome.FAILED)
    else:
        raise UnderWay(f"{found} is under way", f"let it end, or finish it: it was begun by {found.actor}")


def _has_changed_data(run: RecoveryRun) -> bool:
    return run.kind in PROMISED and run.steps.filter(name__in=CHANGES_DATA, outcome=RunOutcome.DONE).exists()


def _is_free(run: RecoveryRun) -> bool:
    return worker_id.is_gone(run.worker) or RecoveryRun.objects.filter(UNHELD, pk=run.pk).exists()


@contextmanager
def held(run: RecoveryRun) -> Iterator[RecoveryRun]:
    """The lease on it, for as long as the block lasts. Raises UnderWay."""
    free = UNHELD | Q(worker=run.worker) if worker_id.is_gone(run.worker) else UNHELD
    mine = {"fence": F("fence") + 1, "worker": worker_id.own(), "lease_until": Now() + LEASE}
    if not RecoveryRun.objects.filter(free, pk=run.pk, ended_at=None).update(**mine):
        raise UnderWay(
            f"{run} is carried out by {run.worker}", "let it end; a lost process is replaced within a minute"
        )
    run.refresh_from_db()
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(run, over), name=f"slipway-run-{run.pk}", daemon=True)
    renewing.start()
    try:
        yield run
    finally:
        over.set()
        with suppress(Error):
            RecoveryRun.objects.filter(pk=run.pk, fence=run.fence).update(lease_until=None)
        renewing.join()


def _renew(run: RecoveryRun, over: threading.Event) -> None:
    while not over.wait(RENEW_SECONDS):
        with suppress(Error):
            RecoveryRun.objects.filter(pk=run.pk, fence=run.fence).update(lease_until=Now() + LEASE)
        connection.close()


@contextmanager
def fenced(run: RecoveryRun, name: str) -> Iterator[Evidence]:
    """One transaction, for as long as the lease is this process's; the step is done with it. Raises UnderWay."""
    with transaction.atomic():
        found = RecoveryRun.objects.select_for_update().filter(pk=run.pk, fence=run.fence, ended_at=None)
        if found.first() is None:
            raise UnderWay(f"{run} was taken up by somebody else", "see Recovery runs in the admin")
        evidence: Evidence = {}
        yield evidence
        _finish(run, name, RunOutcome.DONE, evidence)


def carry_out(
    run: RecoveryRun, steps: Sequence[Step], *, progress: Callable[[RecoveryStep], None] = lambda step: None
) -> RecoveryRun:
    """All of them that are not done yet. Raises UnderWay, or what stopped it; then the run has failed."""
    with held(run):
        for step in steps:
            try:
                progress(_carry_out(run, step))
            except Exception as error:  # whatever it is: nobody is to find a run that stays open for ever
                if not isinstance(error, UnderWay):
                    end(run, RunOutcome.FAILED)
                raise
        failed = run.steps.filter(outcome=RunOutcome.FAILED).exists()
        end(run, RunOutcome.FAILED if failed else RunOutcome.DONE)
    run.refresh_from_db()
    return run


def _carry_out(run: RecoveryRun, step: Step) -> RecoveryStep:
    row, _ = RecoveryStep.objects.get_or_create(run=run, name=step.name)
    if row.outcome == RunOutcome.DONE:
        return row
    again = RecoveryStep.objects.filter(pk=row.pk).exclude(outcome=RunOutcome.DONE)
    again.update(outcome=RunOutcome.RUNNING, started_at=Now(), ended_at=None)
    try:
        _finish(run, step.name, RunOutcome.DONE, step.does(run))
    except UnderWay:
        raise
    except Exception as error:
        _finish(run, step.name, RunOutcome.FAILED, {"problem": redact(first_line(error, type(error).__name__))})
        if not step.may_fail:
            raise
    row.refresh_from_db()
    return row


def _finish(run: RecoveryRun, name: str, outcome: RunOutcome, evidence: Evidence) -> None:
    open_step = RecoveryStep.objects.filter(run=run, run__fence=run.fence, name=name).exclude(outcome=RunOutcome.DONE)
    open_step.update(outcome=outcome, ended_at=Now(), evidence=evidence)


def end(run: RecoveryRun, outcome: RunOutcome) -> None:
    """For as long as the lease is this process's."""
    if RecoveryRun.objects.filter(pk=run.pk, fence=run.fence, ended_at=None).update(outcome=outcome, ended_at=Now()):
        run.refresh_from_db()
        run.steps.filter(ended_at=None).update(outcome=outcome, ended_at=Now())
        seconds = f"{run.actual_seconds:.1f} s"
        told = f"{run} {outcome.label.lower()} after {seconds}"
        promised = f", promised {run.promised_seconds} s" if run.can_keep_promise else ""
        transaction.on_commit(lambda: notify(Event("recovery_run", str(run), told + promised)))


def evidence(run: RecoveryRun, name: str) -> Evidence:
    """Of a step that is done; nothing where it is not."""
    found: Evidence | None = (
        run.steps.filter(name=name, outcome=RunOutcome.DONE).values_list("evidence", flat=True).first()
    )
    return found or {}
