"""The actions of steps that are not a module of their own: rollouts, parts, snapshots, and the proof of a result."""

from collections.abc import Sequence
from functools import partial

from core.access.actors import SYSTEM, Machine
from core.errors import Refused, WrongInput, first_line
from core.redaction import redact
from core.switches import Part
from rollout.choices import RunKind, Stage
from rollout.models import RecoveryRun, Rollout, Snapshot
from rollout.operations import lifecycle
from rollout.recovery import protect, reactivate, runner
from rollout.recovery.evidence import (
    ComparedTables,
    DisabledRollouts,
    ReadBackSnapshot,
    SwitchedOffParts,
    TakenSnapshot,
)
from rollout.recovery.restore import sources
from rollout.recovery.restore.restore import restore_tables
from rollout.recovery.restore.sources import TableSource
from rollout.recovery.rollback import clean_up, quarantine
from rollout.recovery.snapshots import operations as snapshots
from rollout.recovery.snapshots.manifest import UnusableSnapshot

SAME_TABLES = "the tables are the ones that were taken out"

# The parts that a level switches off. A standard rollback resets the provider states; the next poll would change them.
OFF = {
    RunKind.EMERGENCY: (Part.POLLING, Part.WARMING, Part.SERVING),
    RunKind.STANDARD: (Part.POLLING, Part.WARMING),
}


def disable_rollouts(run: RecoveryRun) -> None:
    """Move every rollout to DISABLED. Raises Failed if one cannot be moved, after all others were."""
    moved, failed = [], []
    for rollout in Rollout.objects.exclude(stage=Stage.DISABLED).order_by("name"):
        try:
            moved.append(_disable(rollout.name, run))
        except Exception as error:  # a broken rollout must not keep the others from being disabled
            failed.append(f"{rollout.name}: {redact(first_line(error, type(error).__name__))}")
    if failed:
        raise runner.Failed(f"cannot disable rollouts: {'; '.join(failed)}", "run: manage.py rollout status")
    with runner.finishing(run, "rollouts") as evidence:
        evidence.update(DisabledRollouts(moved=[each for each in moved if each]))


def _disable(name: str, run: RecoveryRun) -> str:
    """Abort the rollout. Return what was done, empty if it was disabled already."""
    rollout = Rollout.objects.get(name=name)
    if rollout.stage == Stage.DISABLED:
        return ""
    aborted = lifecycle.abort(rollout, actor=Machine(run.actor), reason=f"{run}: {run.reason}".removesuffix(": "))
    return f"{name}: {aborted.from_stage} → DISABLED"


def switch_off_parts(run: RecoveryRun) -> None:
    with runner.finishing(run, "switch_off") as evidence:
        parts = reactivate.switch_off(OFF[run.level], actor=Machine(run.actor), reason=str(run))
        evidence.update(SwitchedOffParts(switched_off=[part.value for part in parts]))


def take_snapshot(run: RecoveryRun) -> None:
    """Take a snapshot, and record it as the run's.

    The clean-up takes a second one if rows changed. Then the step is done already, and keeps its evidence.
    """
    snapshot = _create_snapshot(run)
    with runner.finishing(run, "snapshot") as evidence:
        RecoveryRun.objects.filter(pk=run.pk).update(snapshot=snapshot.name)
        evidence.update(TakenSnapshot(snapshot=snapshot.name, rows=snapshot.rows, bytes=snapshot.size_bytes))
    run.snapshot = snapshot.name


def _create_snapshot(run: RecoveryRun) -> Snapshot:
    """Create a snapshot of the protected tables; those that the run holds in quarantine are read from there."""
    quarantined = quarantine.tables_of(run)
    return snapshots.create(
        actor=SYSTEM,
        reason=str(run),
        extra=protect.protections_of(quarantined),
        schemas=dict.fromkeys(quarantined, run.schema),
    )


def clean_up_data(run: RecoveryRun) -> None:
    """Clean up. If rows changed after the snapshot, take another one while no other session can write, and clean up."""
    try:
        clean_up.clean_up(run)
    except clean_up.ChangedSinceSnapshot:
        clean_up.clean_up(run, partial(take_snapshot, run))


def verify(run: RecoveryRun) -> None:
    """Run the post-rollback suite. Raises Failed with the checks that fail."""
    result = protect.run_verification(run.kind, run.pk)
    if not result.get("passed"):
        problem = str(result.get("problem", "the post-rollback suite fails"))
        raise runner.Failed(problem, "run: manage.py validate --suite post-rollback")
    with runner.finishing(run, "verify") as evidence:
        evidence.update(result)


def restore_rows(run: RecoveryRun) -> None:
    restore_tables(run, "restore", sources_of(run))


def sources_of(run: RecoveryRun) -> list[TableSource]:
    """Return the tables that the run puts back. The undo of a standard rollback puts back only those that it changed.

    run: a restore, an undo, or the standard rollback that is to be undone.
    """
    tables = sources.table_sources(snapshots.find_snapshot(run.snapshot), run.table)
    if run.kind in (RunKind.UNDO, RunKind.STANDARD):
        return [source for source in tables if source.protection.on_standard]
    return tables


def compare_with_snapshot(undo: RecoveryRun) -> None:
    """Compare the tables that came back with the snapshot of the emergency, by content hash.

    If no snapshot can be used, the result is inconclusive. Raises Failed if a table differs.
    """
    run = undo.target
    compared = _compare(run)
    with runner.finishing(undo, "compare") as evidence:
        evidence.update(compared)


def _compare(run: RecoveryRun) -> ComparedTables:
    if not run.snapshot:
        return {"inconclusive": f"no snapshot was taken; {SAME_TABLES}"}
    try:
        in_snapshot = sources.table_sources(snapshots.find_snapshot(run.snapshot))
    except (UnusableSnapshot, WrongInput) as error:
        return {"inconclusive": f"{error}; {SAME_TABLES}"}
    quarantined: Sequence[str] = runner.step_evidence(run, "quarantine").get("tables", [])
    is_equal = {
        source.protection.table: sources.matches_snapshot(source)
        for source in in_snapshot
        if source.protection.table in quarantined
    }
    if differing := sorted(table for table, equal in is_equal.items() if equal is False):
        problem = f"the content of {', '.join(differing)} differs from snapshot {run.snapshot}"
        raise runner.Failed(problem, f"see how: manage.py restore {run.snapshot} --dry-run")
    equal_tables = sorted(table for table, equal in is_equal.items() if equal)
    return {"equal": equal_tables, "not_compared": sorted(set(quarantined) - set(equal_tables))}


def keep_in_snapshot(purge: RecoveryRun) -> None:
    """Take a snapshot of the quarantine, if the emergency has none."""
    run = purge.target
    name = run.snapshot or _create_snapshot(run).name
    with runner.finishing(purge, "snapshot") as evidence:
        RecoveryRun.objects.filter(pk=run.pk).update(snapshot=name)
        evidence.update(TakenSnapshot(snapshot=name))
    run.snapshot = name


def read_back_snapshot(purge: RecoveryRun) -> None:
    """Read back the snapshot, which is the only copy after the purge.

    Raises UnusableSnapshot, or Refused if it lacks a table that would be dropped.
    """
    run = purge.target
    manifest = snapshots.read_back(snapshots.find_snapshot(run.snapshot))
    if missing := set(quarantine.tables_of(run)) - {table.table for table in manifest.tables}:
        names = ", ".join(sorted(missing))
        raise Refused(
            f"cannot purge {run}: snapshot {run.snapshot} does not hold {names}",
            f"copy them first: pg_dump -n {run.schema}",
        )
    with runner.finishing(purge, "read_back") as evidence:
        evidence.update(ReadBackSnapshot(snapshot=manifest.name, tables=len(manifest.tables)))
