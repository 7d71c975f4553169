"""The post-rollback suite: the state that the last rollback should have left.

Its checks hold until the rollback is undone, or until a part that it switched off is on again, because data changes
from then on.
"""

from collections.abc import Callable, Sequence

from core.access.actors import SYSTEM
from core.errors import SlipwayError
from core.health_checks import Finding, Result, Skipped, Suite, View, check, judged
from core.switches import Activation
from providers.fleet import baseline
from rollout.choices import RunKind, RunOutcome, Stage
from rollout.gate import marks
from rollout.models import RecoveryRun, Rollout
from rollout.recovery import runner
from rollout.recovery.postgres.shape import read_table_shape
from rollout.recovery.postgres.sql import quoted
from rollout.recovery.postgres.tables import count_rows
from rollout.recovery.protect import protected
from rollout.recovery.rollback import gradual, quarantine
from rollout.recovery.rollback.step_actions import OFF
from rollout.recovery.snapshots import operations
from rollout.recovery.snapshots.table_content import content_hash
from validation import sql
from validation.checks.requirements import skipping_without_redis
from validation.operations import validate

CATEGORY = "rollouts"
DATA = "data"
ABORT = "run: manage.py rollout abort NAME"
AGAIN = "repeat the rollback: manage.py rollback --level LEVEL; its quarantine or snapshot holds the removed data"
NOTHING_TO_DO = "nothing has to be done"


@check("no_rollout_past_disabled", CATEGORY, Suite.POST_ROLLBACK)
def no_rollout_past_disabled(view: View) -> Finding:
    """Count the rollouts in a stage other than DISABLED. Limit: 0."""
    active = [
        f"{rollout}: {rollout.stage}" for rollout in Rollout.objects.exclude(stage=Stage.DISABLED).order_by("name")
    ]
    return judged(
        not active,
        f"{len(active)} rollouts",
        "0 rollouts",
        f"{len(active)} rollouts are not disabled" if active else "every rollout is disabled",
        remedy=ABORT,
        offending=active,
    )


@check("no_trip_pending", CATEGORY, Suite.POST_ROLLBACK)
def no_trip_pending(view: View) -> Finding:
    """Count the tripped rollouts for which no transition is stored yet. Limit: 0."""
    rollouts = Rollout.objects.exclude(stage=Stage.DISABLED)
    with skipping_without_redis():
        pending = [rollout.name for rollout in rollouts if marks.read_trip_errors(rollout.attempt.hex)]
    return judged(
        not pending,
        f"{len(pending)} rollouts",
        "0 rollouts",
        f"{len(pending)} trips have no transition" if pending else "every trip has its transition",
        remedy="check that beat and the workers of the queue control run",
        offending=pending,
    )


def _last_rollback_was(*levels: RunKind) -> Callable[[], bool]:
    """Return a condition: the last rollback had one of these levels, and was not undone."""

    def is_so() -> bool:
        last = RecoveryRun.objects.rollbacks().first()
        return last is not None and last.kind in levels and not last.is_undone

    return is_so


def _last_rollback() -> RecoveryRun:
    return RecoveryRun.objects.rollbacks()[0]


def _unchanged_rollback() -> RecoveryRun:
    """Return the last rollback. Raises Skipped if a part that it switched off is on again: data changes then."""
    run = _last_rollback()
    parts = [activation.part for activation in _switched_on_since(run)]
    if parts:
        raise Skipped(f"{', '.join(parts)} is on again, so that data changes", NOTHING_TO_DO)
    return run


def _switched_on_since(run: RecoveryRun) -> list[Activation]:
    """Return the parts that the run switched off, and that an operator switched on after its start."""
    return list(Activation.objects.filter(part__in=OFF[run.level], is_on=True, since__gt=run.started_at))


@check(
    "activation_as_left", CATEGORY, Suite.POST_ROLLBACK, when=_last_rollback_was(RunKind.EMERGENCY, RunKind.STANDARD)
)
def activation_as_left(view: View) -> Finding:
    """Count the parts that are on although the rollback switched them off. Limit: 0."""
    run = _unchanged_rollback()
    parts = OFF[run.level]
    on = [str(activation) for activation in Activation.objects.filter(part__in=parts, is_on=True)]
    return judged(
        not on,
        f"{len(on)} parts on",
        "0 parts on",
        f"{len(on)} parts are still on" if on else f"off: {', '.join(part.value for part in parts)}",
        remedy=AGAIN,
        offending=on,
    )


@check("stand_ins_whole", DATA, Suite.POST_ROLLBACK, when=_last_rollback_was(RunKind.EMERGENCY))
def stand_ins_whole(view: View) -> Finding:
    """Count the faults of the tables that replace the quarantined ones. Limit: 0.

    Each must exist, be empty, and have the shape of the table that it replaces.
    """
    run = _unchanged_rollback()
    tables = _quarantined_tables(run)
    faults = [fault for name in tables for fault in _stand_in_faults(view, run, name)]
    return judged(
        not faults,
        f"{len(faults)} faults",
        "0 faults",
        f"{len(faults)} faults of stand-in tables" if faults else f"{len(tables)} empty stand-in tables exist",
        remedy=AGAIN,
        offending=faults,
    )


def _quarantined_tables(run: RecoveryRun) -> Sequence[str]:
    """Return the tables that the run quarantined. Raises Skipped if it has no quarantine, for example after a purge."""
    if not quarantine.is_held(run):
        raise Skipped(f"{run} has no quarantine", NOTHING_TO_DO)
    return list(runner.step_evidence(run, "quarantine").get("tables", []))


def _stand_in_faults(view: View, run: RecoveryRun, name: str) -> list[str]:
    """Return what is wrong with the table that replaces the quarantined table of this name."""
    stand_in, quarantined = quoted(name), quoted(run.schema, name)
    if not view.value(sql.TABLE_EXISTS, [stand_in]):
        return [f"{name} has no stand-in table"]
    if not view.value(sql.TABLE_EXISTS, [quarantined]):
        return []  # the check quarantine_unchanged reports this
    faults = [f"{name} has rows"] if view.value(sql.HAS_ROWS.format(table=stand_in)) else []
    expected = read_table_shape(view.connection, quarantined)
    if read_table_shape(view.connection, stand_in).keys() != expected.keys():
        faults.append(f"{name} has another shape than the table that it replaces")
    return faults


@check("quarantine_unchanged", DATA, Suite.POST_ROLLBACK, seconds=60, when=_last_rollback_was(RunKind.EMERGENCY))
def quarantine_unchanged(view: View) -> Finding:
    """Count the quarantined tables that are missing, or differ from the run's snapshot by content hash. Limit: 0."""
    run = _last_rollback()
    tables, held = _quarantined_tables(run), set(quarantine.tables_of(run))
    faults = [f"{name} is missing from the quarantine" for name in tables if name not in held]
    hashes = _snapshot_hashes(run)
    compared = [protection for protection in protected() if protection.table in held]
    for protection in compared:
        name = protection.table
        if name in tables and content_hash(quoted(run.schema, name), protection.lasting) != hashes.get(name):
            faults.append(f"{name} in the quarantine differs from the snapshot")
    names = ", ".join(protection.table for protection in compared)
    return judged(
        not faults,
        f"{len(faults)} faults",
        "0 faults",
        f"{len(faults)} faults of the quarantine"
        if faults
        else f"{len(tables)} quarantined tables; unchanged: {names}",
        remedy=f"undo the rollback, then compare: manage.py restore {run.snapshot} --dry-run",
        offending=faults,
    )


def _snapshot_hashes(run: RecoveryRun) -> dict[str, str]:
    """Return the content hashes of the run's snapshot by table. Raises Skipped if no snapshot can be read here."""
    if not run.snapshot:
        raise Skipped("the rollback made no snapshot", "see the run's page under Recovery runs in the admin")
    try:
        manifest = operations.read_manifest(operations.find_snapshot(run.snapshot))
    except SlipwayError as error:
        raise Skipped(str(error.args[0]), "run it on the host that holds the snapshot") from error
    return {table.table: table.content for table in manifest.tables}


@check("emptied", DATA, Suite.POST_ROLLBACK, when=_last_rollback_was(RunKind.STANDARD))
def emptied(view: View) -> Finding:
    """Count the rows of the tables that a standard rollback empties, flagged cache entries included. Limit: 0."""
    _unchanged_rollback()
    tables = [protection.table for protection in protected() if protection.on_standard and not protection.resets]
    counts = {table: count_rows(quoted(table)) for table in tables}
    left = [f"{table}: {count} rows" for table, count in counts.items() if count]
    return judged(
        not left,
        f"{sum(counts.values())} rows",
        "0 rows",
        f"rows are left: {', '.join(left)}" if left else "no cache entry is left",
        remedy=AGAIN,
        offending=left,
    )


@check("states_at_baseline", DATA, Suite.POST_ROLLBACK, when=_last_rollback_was(RunKind.STANDARD))
def states_at_baseline(view: View) -> Finding:
    """Count the provider states that differ from what a backfill makes. Limit: 0."""
    _unchanged_rollback()
    wrong = baseline.states_off_baseline()
    return judged(
        not wrong,
        f"{len(wrong)} states",
        "0 states",
        f"{len(wrong)} provider states are not at their baseline" if wrong else "provider states are at their baseline",
        remedy=AGAIN,
        offending=wrong,
    )


@check("rest_unchanged", DATA, Suite.POST_ROLLBACK, seconds=60, when=_last_rollback_was(RunKind.STANDARD))
def rest_unchanged(view: View) -> Finding:
    """Count the other protected tables that differ from the run's snapshot by content hash. Limit: 0.

    A difference is only a warning: the clean-up compared the tables while it kept writers out, so a later edit made it.
    """
    hashes = _snapshot_hashes(_unchanged_rollback())
    rest = [protection for protection in protected() if not protection.on_standard]
    changed = [
        protection.table
        for protection in rest
        if content_hash(quoted(protection.table), protection.lasting) != hashes.get(protection.table)
    ]
    return judged(
        not changed,
        f"{len(changed)} tables",
        "0 tables",
        f"{', '.join(changed)} changed after the rollback" if changed else f"{len(rest)} other tables are unchanged",
        remedy="see Edits in the admin for who changed them, and the run's page for what the rollback changed",
        offending=changed,
        otherwise=Result.WARN,
    )


@check("every_step_recorded", CATEGORY, Suite.POST_ROLLBACK, when=_last_rollback_was(RunKind.GRADUAL))
def every_step_recorded(view: View) -> Finding:
    """Count the steps of the gradual rollback that are recorded as done. Limit: all steps of its ladder."""
    run = _last_rollback()
    if run.outcome == RunOutcome.CUT_SHORT or (run.ended_at is None and run.steps.filter(ended_at=None).count() > 1):
        raise Skipped(f"{run} did not take all its steps", NOTHING_TO_DO)
    done = set(run.steps.filter(outcome=RunOutcome.DONE).values_list("name", flat=True))
    missing = [place.name for place in gradual.LADDER if place.name not in done]
    return judged(
        not missing,
        f"{len(done)} steps",
        f"{len(gradual.LADDER)} steps",
        f"{len(missing)} steps are missing" if missing else f"{len(gradual.LADDER)} steps are recorded",
        remedy=AGAIN,
        offending=missing,
    )


def verify_rollback(level: str, run_id: int) -> dict[str, object]:
    """Run the post-rollback suite. Return its results as the evidence of a recovery step."""
    report = validate(Suite.POST_ROLLBACK, actor=SYSTEM)
    bad = [outcome for outcome in report.outcomes if outcome.finding.result in (Result.FAIL, Result.ERROR)]
    evidence: dict[str, object] = {
        "passed": not bad,
        "overall": report.overall.value,
        "checks": {outcome.check.id: outcome.finding.result.value for outcome in report.outcomes},
    }
    if bad:
        evidence["problem"] = "; ".join(f"{outcome.check.id}: {outcome.finding.message}" for outcome in bad)
    return evidence
