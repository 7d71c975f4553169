"""What can be done to get back: one callable per verb, for admin, commands and tasks alike."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import structlog

from core.access.actors import Actor, Machine, require
from core.errors import Refused, SlipwayError, WrongInput
from rollout.choices import RunKind, RunOutcome
from rollout.models import RecoveryRun, RecoveryStep, Snapshot
from rollout.recovery import runner
from rollout.recovery.restore import restore as restoring
from rollout.recovery.restore import sources
from rollout.recovery.rollback import gradual, quarantine
from rollout.recovery.rollback.levels import STEPS, VERIFY, snapshot_of
from rollout.recovery.runner import Evidence, Step, UnderWay
from rollout.recovery.snapshots import operations
from rollout.recovery.snapshots.manifest import Unusable

FOLLOW_SECONDS = 1.0
REHEARSER = "rehearsal"  # who alone need not wait
Progress = Callable[[RecoveryStep], None]
log = structlog.get_logger("slipway.recovery")


def roll_back(
    level: RunKind, *, actor: Actor, reason: str = "", pace: float = 1.0, is_for_workers: bool = False
) -> RecoveryRun:
    """Begin it, or take up the one that was interrupted; `carry_out` does it. Raises UnderWay, WrongInput."""
    require(actor, f"rollout.{level.value}_recoveryrun")
    if not (0 < pace <= 10 or (pace == 0 and isinstance(actor, Machine) and actor.name == REHEARSER)):
        raise WrongInput(f"a pace of {pace:g} is none", "take 1, or 0.05 for a trial")
    if pace != 1 and level is not RunKind.GRADUAL:
        raise WrongInput(f"{level.value} holds nowhere", "leave --pace out: only gradual has one")
    by_workers = is_for_workers or level is RunKind.GRADUAL
    return runner.begin(level, actor=actor, reason=reason, pace=pace, is_for_workers=by_workers)


def carry_out(run: RecoveryRun, *, progress: Progress = lambda step: None) -> RecoveryRun:
    """To its end; a gradual one that a guard cuts short goes on as the standard one that it became. Raises what stopped
    it.
    """
    if run.kind == RunKind.GRADUAL:
        return _follow(run, progress)
    return runner.carry_out(run, steps_of(run), progress=progress)


def _follow(run: RecoveryRun, progress: Progress) -> RecoveryRun:
    told: set[str] = set()
    while run.ended_at is None:
        over = advance(run)
        for step in run.steps.exclude(name__in=told).exclude(ended_at=None):
            told.add(step.name)
            progress(step)
        if over is not None:
            return over if over.pk == run.pk else _successor(run, progress)
        run.refresh_from_db()
        if run.ended_at is None:
            time.sleep(min(FOLLOW_SECONDS, run.pace or 0.01))
    return _successor(run, progress) if run.outcome == RunOutcome.CUT_SHORT else run


def _successor(run: RecoveryRun, progress: Progress) -> RecoveryRun:
    """The run that a gradual one was cut short into, followed to its end, whoever carries it out."""
    following = RecoveryRun.objects.filter(pk__gt=run.pk, is_rehearsal=False).order_by("pk").first()
    while following is not None and following.ended_at is None:
        try:
            return carry_out(following, progress=progress)
        except UnderWay:
            time.sleep(FOLLOW_SECONDS)
            following.refresh_from_db()
    return following or run


def advance(run: RecoveryRun) -> RecoveryRun | None:
    """What is due of a gradual one. Returns the run when it is over, or the standard one that it was cut short into."""
    outcome = gradual.drive(run)
    if outcome is RunOutcome.CUT_SHORT:
        return RecoveryRun.objects.open().get(kind=RunKind.STANDARD)
    if outcome is RunOutcome.DONE:
        with suppress(UnderWay):  # somebody else looks just now
            return runner.carry_out(run, [VERIFY])
    return None


def steps_of(run: RecoveryRun) -> Sequence[Step]:
    if run.level in STEPS:
        return STEPS[run.level]
    if run.kind == RunKind.PURGE:
        return _purging(run)
    if run.undoes is not None and run.undoes.kind == RunKind.EMERGENCY:
        return _putting_back(run.undoes)
    return [Step("restore", f"the rows of {run.snapshot} are put back", _restore)]


def _restore(run: RecoveryRun) -> Evidence:
    return restoring.restore(run, "restore", sources_of(run))


def sources_of(run: RecoveryRun) -> list[sources.Source]:
    """What it puts back: of a standard rollback just the tables that this changed."""
    found = sources.sources(operations.found(run.snapshot), run.table)
    is_undo = run.kind in (RunKind.UNDO, RunKind.STANDARD)
    return [each for each in found if each.protection.on_standard] if is_undo else found


def _putting_back(run: RecoveryRun) -> list[Step]:
    compare = "their content hashes are compared with the snapshot's"
    return [
        Step("put_back", "the very tables come back", lambda undo: quarantine.put_back(undo, run)),
        Step("compare", compare, lambda undo: _compare(run), may_fail=True),
    ]


def _compare(run: RecoveryRun) -> Evidence:
    """Raises Failed for a table that is not what was quarantined."""
    told = "these are the very tables that were taken out"
    try:
        held = sources.sources(operations.found(run.snapshot)) if run.snapshot else []
    except (Unusable, WrongInput) as error:
        return {"inconclusive": f"{error}; {told} all the same"}
    if not held:
        return {"inconclusive": f"no snapshot was made; {told} all the same"}
    tables = runner.evidence(run, "quarantine").get("tables", [])
    found = {each.protection.table: sources.is_as_held(each) for each in held if each.protection.table in tables}
    if wrong := sorted(name for name, is_same in found.items() if is_same is False):
        remedy = f"look at them: manage.py restore {run.snapshot} --dry-run"
        raise runner.Failed(f"not as they were: {', '.join(wrong)}", remedy)
    equal = sorted(name for name, is_same in found.items() if is_same)
    return {"equal": equal, "not_compared": sorted(set(tables) - set(equal))}


def restore(snapshot: Snapshot, *, only: str = "", actor: Actor, reason: str = "") -> RecoveryRun:
    """Begin it. Raises Unusable, WrongInput, UnderWay."""
    require(actor, "rollout.restore_recoveryrun")
    sources.sources(snapshot, only)
    name = snapshot.name if snapshot.pk else snapshot.folder
    return runner.begin(RunKind.RESTORE, actor=actor, reason=reason, snapshot=name, table=only)


def undoable() -> RecoveryRun:
    """The last rollback that changed data and was not undone. A gradual one since then does not hide what is in
    quarantine; a standard one it does, for life went on. Raises WrongInput, Refused.
    """
    if under_way := RecoveryRun.objects.open().filter(kind=RunKind.UNDO).select_related("undoes").first():
        return under_way.undoes or under_way
    found = list(RecoveryRun.objects.rollbacks().not_undone())
    if not found:
        raise WrongInput("there is no rollback that could be undone", "see Recovery runs in the admin")
    last = next((run for run in found if run.kind == RunKind.GRADUAL or _has_effect(run)), found[0])
    if last.kind == RunKind.GRADUAL or not _has_effect(last):
        held = next((run for run in found if run.kind == RunKind.EMERGENCY and quarantine.is_held(run)), None)
        if held is not None:
            return held
    if last.kind == RunKind.GRADUAL:
        raise Refused(f"{last} changed no data", "start the rollout again: manage.py rollout start")
    if not _has_effect(last):
        what = "holds nothing in quarantine" if last.kind == RunKind.EMERGENCY else "ended before it changed data"
        raise Refused(f"{last} {what}", "nothing is to be put back: manage.py reactivate")
    return last


def _has_effect(run: RecoveryRun) -> bool:
    if run.kind == RunKind.EMERGENCY:
        return quarantine.is_held(run)
    return bool(runner.evidence(run, "clean_up"))


def is_undoable(run: RecoveryRun) -> bool:
    """Whether it is the one that `undo` would take back."""
    try:
        return undoable() == run
    except SlipwayError:
        return False


def undo(
    only: RecoveryRun | None = None, *, actor: Actor, reason: str = "", is_for_workers: bool = False
) -> RecoveryRun:
    """Begin to undo the last rollback, or that one where it is the last: its data comes back, never a stage. Raises as
    `undoable`, and UnderWay.
    """
    require(actor, "rollout.restore_recoveryrun")
    run = undoable()
    if only not in (None, run):
        raise UnderWay(f"{only} is not the last rollback any more", "look at the list")
    more = {"undoes": run, "snapshot": run.snapshot, "is_for_workers": is_for_workers}
    return runner.begin(RunKind.UNDO, actor=actor, reason=reason, **more)


def purgeable(pk: int) -> RecoveryRun:
    """Raises WrongInput."""
    run = RecoveryRun.objects.filter(pk=pk, kind=RunKind.EMERGENCY, is_rehearsal=False).first()
    if run is None or not quarantine.has_left(run):
        raise WrongInput(f"run {pk} holds nothing in quarantine", "see Recovery runs in the admin")
    return run


def purge(pk: int, *, actor: Actor, reason: str = "", is_for_workers: bool = False) -> RecoveryRun:
    """Begin to drop for good what an emergency took out, or what was written meanwhile. Raises WrongInput, UnderWay."""
    require(actor, "rollout.purge_recoveryrun")
    run = purgeable(pk)
    more = {"undoes": run, "snapshot": run.snapshot, "is_for_workers": is_for_workers}
    return runner.begin(RunKind.PURGE, actor=actor, reason=reason, **more)


def _purging(purging: RecoveryRun) -> list[Step]:
    run = purging.undoes or purging
    keep = Step("snapshot", "a snapshot is made, where there is none", partial(_keep, run=run))
    read_back = Step(
        "read_back", "the snapshot is read back: from then on it is all there is", partial(_read_back, run=run)
    )
    drop = Step("drop", "it is dropped for good", lambda purging: quarantine.purge(purging, run))
    return [drop] if run.is_undone else [keep, read_back, drop]


def _keep(purging: RecoveryRun, *, run: RecoveryRun) -> Evidence:
    if not run.snapshot:
        run.snapshot = snapshot_of(run).name
        RecoveryRun.objects.filter(pk=run.pk).update(snapshot=run.snapshot)
    return {"snapshot": run.snapshot}


def _read_back(purging: RecoveryRun, *, run: RecoveryRun) -> Evidence:
    """Raises Unusable, or Refused where it lacks a table that would be dropped."""
    manifest = operations.read_back(operations.found(run.snapshot))
    if lacking := set(quarantine.tables_of(run)) - {table.table for table in manifest.tables}:
        raise Refused(
            f"{run.snapshot} lacks {', '.join(sorted(lacking))}", f"copy them yourself: pg_dump -n {run.schema}"
        )
    return {"snapshot": manifest.name, "tables": len(manifest.tables)}


def recover() -> None:
    """What workers do of the open run; what stopped it is on record, and people were told."""
    run = RecoveryRun.objects.open().filter(is_for_workers=True).first()
    if run is None:
        return
    with logged(run):
        if run.kind == RunKind.GRADUAL:
            run = advance(run)
        if run is not None and run.ended_at is None:
            carry_out(run)


@contextmanager
def logged(run: RecoveryRun) -> Iterator[None]:
    """What stops it goes no further than the log: it is on record, and people were told."""
    try:
        yield
    except UnderWay:  # somebody else is at it
        pass
    except SlipwayError as error:
        log.warning("a recovery run failed", run=str(run), problem=str(error))
    except Exception:
        log.exception("a recovery run broke", run=str(run))


def pause(run: RecoveryRun, *, actor: Actor, reason: str = "") -> bool:
    """Have a gradual one stay where it is. Returns whether it did not before."""
    require(actor, "rollout.gradual_recoveryrun")
    return gradual.pause(run, noted("paused", actor, reason))


def resume(run: RecoveryRun, *, actor: Actor, reason: str = "") -> bool:
    """Have it go on. Returns whether it was paused."""
    require(actor, "rollout.gradual_recoveryrun")
    return gradual.resume(run, noted("resumed", actor, reason))


def noted(did: str, actor: Actor, reason: str) -> str:
    return f"{did} by {actor.get_username()}{f': {reason}' if reason else ''}"
