"""The operations of recovery, one callable per verb, for the admin, the commands and the tasks.

`roll_back`, `restore`, `undo` and `purge` begin a run, or return the open one if it is the same; `execute_run` executes
it. So the caller can show the run before it is executed, and can choose the process that executes it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from core.access.actors import Actor, Machine, require
from core.errors import Refused, SlipwayError, WrongInput
from rollout.choices import RunKind, RunOutcome
from rollout.models import RecoveryRun, Snapshot
from rollout.operations.lifecycle import PACE_AT_MOST
from rollout.recovery import runner
from rollout.recovery.restore import sources
from rollout.recovery.rollback import gradual, quarantine
from rollout.recovery.rollback.steps import steps_of
from rollout.recovery.runner import LIST_REMEDY, ReportStep, UnderWay

FOLLOW_SECONDS = 1.0  # between two looks at a gradual rollback, or at a run that another process executes
REHEARSER = "rehearsal"  # the actor that may use pace 0: a rehearsal does not wait
log = structlog.get_logger("slipway.recovery")


def roll_back(
    level: RunKind, *, actor: Actor, reason: str = "", pace: float = 1.0, is_for_workers: bool = False
) -> RecoveryRun:
    """Begin a rollback, or return the one of this level that was interrupted.

    pace: the factor of a gradual rollback's holds, greater than 0 and at most 10; 1 keeps the promised time.
    is_for_workers: workers execute the run if the caller does not. They always drive a gradual one.
    Raises UnderWay, WrongInput, Refused.
    """
    require(actor, f"rollout.{level.value}_recoveryrun")
    is_rehearsal = isinstance(actor, Machine) and actor.name == REHEARSER
    if not (0 < pace <= PACE_AT_MOST or (pace == 0 and is_rehearsal)):
        raise WrongInput(
            f"pace must be greater than 0 and at most {PACE_AT_MOST} (got {pace:g})",
            "use --pace 1, or --pace 0.05 for a trial",
        )
    if pace != 1 and level is not RunKind.GRADUAL:
        raise WrongInput(
            f"cannot use pace {pace:g} for a rollback of level {level.value}: only a gradual one has holds",
            "leave --pace out",
        )
    by_workers = is_for_workers or level is RunKind.GRADUAL
    return runner.begin_run(level, actor=actor, reason=reason, pace=pace, is_for_workers=by_workers)


def execute_run(run: RecoveryRun, *, progress: ReportStep | None = None) -> RecoveryRun:
    """Execute the run to its end, and return it.

    If a guard cuts a gradual rollback short, the standard one that follows is executed too, and returned.
    progress: called with each step after it has ended.
    Raises UnderWay if another process executes the run, or the exception that stopped it.
    """
    if run.kind == RunKind.GRADUAL:
        return _follow_gradual(run, progress)
    return runner.execute_steps(run, steps_of(run), progress=progress)


def _follow_gradual(run: RecoveryRun, progress: ReportStep | None) -> RecoveryRun:
    """Do the run's steps as they become due, until it has ended. Beat and other terminals may do some of them."""
    reported: set[str] = set()
    while run.ended_at is None:
        ended = advance_gradual(run)
        for step in run.steps.exclude(name__in=reported).exclude(ended_at=None):
            reported.add(step.name)
            if progress:
                progress(step)
        if ended is not None:
            return ended if ended.pk == run.pk else _follow_successor(run, progress)
        run.refresh_from_db()
        if run.ended_at is None:
            time.sleep(min(FOLLOW_SECONDS, run.pace or 0.01))
    return _follow_successor(run, progress) if run.outcome == RunOutcome.CUT_SHORT else run


def _follow_successor(run: RecoveryRun, progress: ReportStep | None) -> RecoveryRun:
    """Execute the run for which the gradual one was cut short, or wait while another process executes it. Return it."""
    successor = RecoveryRun.objects.filter(pk__gt=run.pk, is_rehearsal=False).order_by("pk").first()
    while successor is not None and successor.ended_at is None:
        try:
            return execute_run(successor, progress=progress)
        except UnderWay:
            time.sleep(FOLLOW_SECONDS)
            successor.refresh_from_db()
    return successor or run


def advance_gradual(run: RecoveryRun) -> RecoveryRun | None:
    """Do what is due of a gradual rollback.

    Returns the run if this call ended it, or the standard rollback for which it was cut short; else None.
    """
    outcome = gradual.take_due_step(run)
    if outcome is RunOutcome.CUT_SHORT:
        return RecoveryRun.objects.open().get(kind=RunKind.STANDARD)
    if outcome is RunOutcome.DONE:
        with suppress(UnderWay):  # another process executes the last step at the moment
            return runner.execute_steps(run, steps_of(run))
    return None


def restore(snapshot: Snapshot, *, only: str = "", actor: Actor, reason: str = "") -> RecoveryRun:
    """Begin to put back the rows of the snapshot. A stage or an activation is never put back.

    only: the single table to restore; empty for all protected ones.
    Raises UnusableSnapshot, WrongInput, UnderWay, Refused.
    """
    require(actor, "rollout.restore_recoveryrun")
    sources.table_sources(snapshot, only)
    name = snapshot.name if snapshot.pk else snapshot.folder
    return runner.begin_run(RunKind.RESTORE, actor=actor, reason=reason, snapshot=name, table=only)


def find_undoable() -> RecoveryRun:
    """Return the last rollback that changed data and was not undone, or the one whose undo is open.

    A later gradual rollback does not hide an emergency whose tables are in quarantine, because it changes no data. A
    later standard one hides it, because the data has changed since.
    Raises WrongInput if no rollback is left, Refused if the last one changed no data.
    """
    open_undo = RecoveryRun.objects.open().filter(kind=RunKind.UNDO).select_related("undoes").first()
    if open_undo is not None:
        return open_undo.target
    rollbacks = list(RecoveryRun.objects.rollbacks().not_undone())
    if not rollbacks:
        raise WrongInput("cannot undo: there is no rollback, or all are undone", LIST_REMEDY)
    last = next((run for run in rollbacks if run.kind == RunKind.GRADUAL or _has_effect(run)), rollbacks[0])
    if last.kind != RunKind.GRADUAL and _has_effect(last):
        return last
    for run in rollbacks:
        if run.kind == RunKind.EMERGENCY and quarantine.is_held(run):
            return run
    raise _not_undoable(last)


def _not_undoable(run: RecoveryRun) -> Refused:
    if run.kind == RunKind.GRADUAL:
        cause, remedy = "it changed no data", "start the rollout again: manage.py rollout start --reason '...'"
    elif run.kind == RunKind.EMERGENCY:
        cause, remedy = "it holds nothing in quarantine", "switch the parts on: manage.py reactivate --reason '...'"
    else:
        cause, remedy = "it ended before it changed data", "switch the parts on: manage.py reactivate --reason '...'"
    return Refused(f"cannot undo {run}: {cause}", remedy)


def _has_effect(run: RecoveryRun) -> bool:
    if run.kind == RunKind.EMERGENCY:
        return quarantine.is_held(run)
    return bool(runner.step_evidence(run, "clean_up"))


def is_undoable(run: RecoveryRun) -> bool:
    """Return whether `undo` would take this run back."""
    try:
        return find_undoable() == run
    except SlipwayError:
        return False


def undo(
    expected: RecoveryRun | None = None, *, actor: Actor, reason: str = "", is_for_workers: bool = False
) -> RecoveryRun:
    """Begin to put back the data of the last rollback. Stages and parts stay as they are.

    expected: the rollback that the operator saw as the last one. If another one is by now, raise UnderWay.
    Raises also UnderWay if another run is open, and what `find_undoable` raises.
    """
    require(actor, "rollout.restore_recoveryrun")
    run = find_undoable()
    if expected not in (None, run):
        raise UnderWay(f"cannot undo {expected}: the rollback to undo is {run}", LIST_REMEDY)
    return runner.begin_run(
        RunKind.UNDO,
        actor=actor,
        reason=reason,
        undoes=run,
        snapshot=run.snapshot,
        is_for_workers=is_for_workers,
    )


def find_purgeable(pk: int) -> RecoveryRun:
    """Return the emergency with this number. Raises WrongInput if it holds nothing in quarantine."""
    run = RecoveryRun.objects.filter(pk=pk, kind=RunKind.EMERGENCY, is_rehearsal=False).first()
    if run is None or not quarantine.has_purgeable_tables(run):
        raise WrongInput(f"cannot purge run {pk}: it holds nothing in quarantine", LIST_REMEDY)
    return run


def purge(pk: int, *, actor: Actor, reason: str = "", is_for_workers: bool = False) -> RecoveryRun:
    """Begin to drop permanently what an emergency took out, or the rows that its undo kept apart.

    Raises WrongInput, UnderWay, Refused.
    """
    require(actor, "rollout.purge_recoveryrun")
    run = find_purgeable(pk)
    return runner.begin_run(
        RunKind.PURGE,
        actor=actor,
        reason=reason,
        undoes=run,
        snapshot=run.snapshot,
        is_for_workers=is_for_workers,
    )


def recover() -> None:
    """Execute the open run, if it is for the workers. Raises nothing: `logged_failures` explains why."""
    run = RecoveryRun.objects.open().filter(is_for_workers=True).first()
    if run is None:
        return
    with logged_failures(run):
        to_execute = advance_gradual(run) if run.kind == RunKind.GRADUAL else run
        if to_execute is not None and to_execute.ended_at is None:
            execute_run(to_execute)


@contextmanager
def logged_failures(run: RecoveryRun) -> Iterator[None]:
    """Log what stops the run, and raise nothing: the run records it, and the operators were notified."""
    try:
        yield
    except UnderWay:  # another process executes it
        pass
    except SlipwayError as error:
        log.warning("a recovery run failed", run=str(run), problem=str(error))
    except Exception:
        log.exception("a recovery run broke", run=str(run))


def pause_run(run: RecoveryRun, *, actor: Actor, reason: str = "") -> bool:
    """Hold a gradual rollback where it is. Return whether it was running."""
    require(actor, "rollout.gradual_recoveryrun")
    return gradual.pause_hold(run, _note("paused", actor, reason))


def resume_run(run: RecoveryRun, *, actor: Actor, reason: str = "") -> bool:
    """Let a gradual rollback continue. Return whether it was paused."""
    require(actor, "rollout.gradual_recoveryrun")
    return gradual.resume_hold(run, _note("resumed", actor, reason))


def _note(verb: str, actor: Actor, reason: str) -> str:
    return f"{verb} by {actor.get_username()}{f': {reason}' if reason else ''}"
