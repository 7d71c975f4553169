"""What can be done to get back: one callable per verb, for admin, commands and tasks alike."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
from django.db.models import Q

from rollout.actors import Actor, require
from rollout.choices import Kind, Outcome
from rollout.errors import Refused, SlipwayError, WrongInput
from rollout.recovery import gradual, quarantine, restoring, runs, snapshots, sources
from rollout.recovery.levels import STEPS, VERIFY
from rollout.recovery.models import RecoveryRun, RecoveryStep, Snapshot
from rollout.recovery.runs import Evidence, Step, UnderWay

FOLLOW_SECONDS = 1.0
Progress = Callable[[RecoveryStep], None]
log = structlog.get_logger("slipway.recovery")


def roll_back(
    level: Kind, *, actor: Actor, reason: str = "", pace: float = 1.0, is_for_workers: bool = False
) -> RecoveryRun:
    """Begin it, or take up the one that was interrupted; `carry_out` does it. Raises UnderWay, WrongInput."""
    require(actor, f"rollout.{level.value}_recoveryrun")
    if not 0 <= pace <= 10:
        raise WrongInput(f"a pace of {pace:g} is none", "take 1, or 0.05 for a trial")
    if pace != 1 and level is not Kind.GRADUAL:
        raise WrongInput(f"{level.value} holds nowhere", "leave --pace out: only gradual has one")
    in_terminal = not (is_for_workers or level is Kind.GRADUAL)
    return runs.begin(level, actor=actor, reason=reason, pace=pace, is_for_workers=not in_terminal)


def carry_out(run: RecoveryRun, *, progress: Progress = lambda step: None) -> RecoveryRun:
    """To its end; a gradual one that a guard cuts short goes on as the standard one that it became. Raises what stopped
    it.
    """
    if run.kind == Kind.GRADUAL:
        return _follow(run, progress)
    return runs.carry_out(run, steps_of(run), progress=progress)


def _follow(run: RecoveryRun, progress: Progress) -> RecoveryRun:
    told: set[str] = set()
    while run.ended_at is None:
        successor = advance(run)
        for step in run.steps.exclude(name__in=told).exclude(ended_at=None):
            told.add(step.name)
            progress(step)
        if successor is not None:
            return successor if successor.pk == run.pk else carry_out(successor, progress=progress)
        run.refresh_from_db()
        if run.ended_at is None and run.pace:
            time.sleep(min(FOLLOW_SECONDS, run.pace))
    following = RecoveryRun.objects.filter(pk__gt=run.pk, kind=Kind.STANDARD).first()
    return following if run.outcome == Outcome.CUT_SHORT and following else run


def advance(run: RecoveryRun) -> RecoveryRun | None:
    """What is due of a gradual one. Returns the run when it is over, or the standard one that it was cut short into."""
    outcome = gradual.drive(run)
    if outcome is Outcome.CUT_SHORT:
        return RecoveryRun.objects.get(ended_at=None, kind=Kind.STANDARD, is_rehearsal=False)
    if outcome is Outcome.DONE:
        with suppress(UnderWay):  # somebody else looks just now
            return runs.carry_out(run, [VERIFY])
    return None


def steps_of(run: RecoveryRun) -> Sequence[Step]:
    if run.level in STEPS:
        return STEPS[run.level]
    if run.kind == Kind.PURGE:
        return _purging(run)
    if run.undoes is not None and run.undoes.kind == Kind.EMERGENCY:
        return _putting_back(run.undoes)
    return [Step("restore", f"the rows of {run.snapshot} are put back", _restore)]


def _restore(run: RecoveryRun) -> Evidence:
    return restoring.restore(run, "restore", sources.sources(snapshots.found(run.snapshot), run.table))


def _putting_back(run: RecoveryRun) -> list[Step]:
    return [
        Step("put_back", "the very tables come back", lambda undo: quarantine.put_back(undo, run)),
        Step("compare", "their content hashes are compared with the snapshot's", lambda undo: _compare(run)),
    ]


def _compare(run: RecoveryRun) -> Evidence:
    """Raises Failed for a table that is not what was quarantined."""
    if not run.snapshot:
        return {"inconclusive": "no snapshot was made of what was quarantined: these are the very tables all the same"}
    tables = runs.evidence(run, "quarantine").get("tables", [])
    differs = sources.unlike(snapshots.found(run.snapshot))
    if wrong := sorted(set(differs) & set(tables)):
        raise runs.Failed(f"not as they were: {', '.join(wrong)}", "restore them: manage.py restore --latest --table T")
    return {"equal": sorted(tables), "changed_elsewhere": sorted(set(differs) - set(tables))}


def restore(snapshot: Snapshot, *, only: str = "", actor: Actor, reason: str = "") -> RecoveryRun:
    """Begin it. Raises Unusable, WrongInput, UnderWay."""
    require(actor, "rollout.restore_recoveryrun")
    sources.sources(snapshot, only)
    name = snapshot.name if snapshot.pk else snapshot.folder
    return runs.begin(Kind.RESTORE, actor=actor, reason=reason, snapshot=name, table=only)


def undoable() -> RecoveryRun:
    """The last rollback that was not undone. Raises WrongInput, Refused."""
    if under_way := RecoveryRun.objects.filter(kind=Kind.UNDO, ended_at=None).select_related("undoes").first():
        return under_way.undoes or under_way
    run = RecoveryRun.objects.rollbacks().not_undone().first()
    if run is None:
        raise WrongInput("there is no rollback that could be undone", "see Recovery runs in the admin")
    if run.kind == Kind.GRADUAL:
        raise Refused(f"{run} changed no data", "start the rollout again: manage.py rollout start")
    if run.kind == Kind.EMERGENCY and not quarantine.is_held(run):
        raise Refused(f"{run} holds nothing in quarantine", "nothing is to be put back: manage.py reactivate")
    if run.kind == Kind.STANDARD and not runs.evidence(run, "clean_up"):
        raise Refused(f"{run} ended before it changed data", "nothing is to be put back: manage.py reactivate")
    return run


def undo(*, actor: Actor, reason: str = "", is_for_workers: bool = False) -> RecoveryRun:
    """Begin to undo the last rollback: its data comes back, never a stage. Raises as `undoable`, and UnderWay."""
    require(actor, "rollout.restore_recoveryrun")
    run = undoable()
    more = {"undoes": run, "snapshot": run.snapshot, "is_for_workers": is_for_workers}
    return runs.begin(Kind.UNDO, actor=actor, reason=reason, **more)


def purgeable(pk: int) -> RecoveryRun:
    """Raises WrongInput."""
    run = RecoveryRun.objects.filter(pk=pk, kind=Kind.EMERGENCY, is_rehearsal=False).first()
    if run is None or not quarantine.is_held(run):
        raise WrongInput(f"run {pk} holds nothing in quarantine", "see Recovery runs in the admin")
    return run


def purge(pk: int, *, actor: Actor, reason: str = "", is_for_workers: bool = False) -> RecoveryRun:
    """Begin to drop for good what an emergency took out. Raises WrongInput, UnderWay."""
    require(actor, "rollout.purge_recoveryrun")
    run = purgeable(pk)
    more = {"undoes": run, "snapshot": run.snapshot, "is_for_workers": is_for_workers}
    return runs.begin(Kind.PURGE, actor=actor, reason=reason, **more)


def _purging(purging: RecoveryRun) -> list[Step]:
    run = purging.undoes or purging
    read_back = Step("read_back", "the snapshot is read back: from then on it is all there is", _read_back)
    drop = Step("drop", "what is in quarantine is dropped for good", partial(_drop, run=run))
    return [drop] if run.is_undone else [read_back, drop]


def _read_back(purging: RecoveryRun) -> Evidence:
    if not purging.snapshot:
        raise Refused("no snapshot was made of it", "keep it, or make room and run the rollback again")
    manifest = snapshots.read_back(snapshots.found(purging.snapshot))
    return {"snapshot": manifest.name, "tables": len(manifest.tables)}


def _drop(purging: RecoveryRun, *, run: RecoveryRun) -> Evidence:
    return quarantine.purge(purging, run)


def recover() -> None:
    """What workers do of the open run; what stopped it is on record, and people were told."""
    run = RecoveryRun.objects.filter(Q(is_for_workers=True), ended_at=None, is_rehearsal=False).first()
    if run is None:
        return
    try:
        if run.kind == Kind.GRADUAL:
            run = advance(run)
        if run is not None and run.ended_at is None:
            carry_out(run)
    except UnderWay:
        pass
    except SlipwayError as error:
        log.warning("a recovery run failed", run=str(run), problem=str(error))


def hold(run: RecoveryRun, pausing: bool, *, actor: Actor) -> bool:
    """Have a gradual one stay where it is, or go on. Returns whether it did not before."""
    require(actor, "rollout.gradual_recoveryrun")
    return gradual.pause(run) if pausing else gradual.resume(run)
