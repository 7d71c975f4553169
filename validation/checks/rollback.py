"""What holds after a rollback, as the last one left it: until it is undone, or parts are switched on again."""

from collections.abc import Callable, Sequence

from core.access.actors import SYSTEM
from core.errors import SlipwayError
from core.health_checks import Finding, Result, Skipped, Suite, View, check, judged
from providers.fleet import baseline
from rollout.choices import RunKind, RunOutcome, Stage
from rollout.gate import counters
from rollout.models import Activation, RecoveryRun, Rollout
from rollout.recovery import runner
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.shape import shape
from rollout.recovery.protect import Protection, protected
from rollout.recovery.rollback import gradual, quarantine
from rollout.recovery.rollback.levels import OFF
from rollout.recovery.snapshots import operations
from rollout.recovery.snapshots.manifest import Manifest
from rollout.recovery.snapshots.table_content import content_hash
from validation.checks.requirements import needing_redis
from validation.operations import validate

CATEGORY = "rollouts"
DATA = "data"
ABORT = "run: manage.py rollout abort NAME"
AGAIN = "run the rollback again; what it took out is in quarantine, and in its snapshot"


@check("no_rollout_past_disabled", CATEGORY, Suite.POST_ROLLBACK)
def no_rollout_past_disabled(view: View) -> Finding:
    past = [f"{each}: {each.stage}" for each in Rollout.objects.exclude(stage=Stage.DISABLED).order_by("name")]
    said = f"{len(past)} rollouts are past DISABLED" if past else "every rollout is disabled"
    return judged(not past, f"{len(past)} rollouts", "0 rollouts", said, remedy=ABORT, offending=past)


@check("no_trip_pending", CATEGORY, Suite.POST_ROLLBACK)
def no_trip_pending(view: View) -> Finding:
    """A fall that no transition has written down."""
    rollouts = Rollout.objects.exclude(stage=Stage.DISABLED)
    with needing_redis():
        fell = [each.name for each in rollouts if counters.fell(each.name, each.settled_epoch)]
    said = f"{len(fell)} falls are not written down" if fell else "every fall is written down"
    remedy = "see that beat and the workers of the queue control run"
    return judged(not fell, f"{len(fell)} rollouts", "0 rollouts", said, remedy=remedy, offending=fell)


def _after(*levels: RunKind) -> Callable[[], bool]:
    """Whether the last rollback was of such a level, and was not undone."""

    def is_so() -> bool:
        last = RecoveryRun.objects.rollbacks().first()
        return last is not None and last.kind in levels and not last.is_undone

    return is_so


def _last() -> RecoveryRun:
    return RecoveryRun.objects.rollbacks()[0]


def _as_left() -> RecoveryRun:
    """Raises Skipped where parts that it switched off are on again, so that data changes."""
    run = _last()
    if on := Activation.objects.filter(part__in=OFF[run.level], is_on=True, since__gt=run.started_at):
        raise Skipped(f"{', '.join(each.part for each in on)} is on again", "nothing is to be done")
    return run


@check("activation_as_left", CATEGORY, Suite.POST_ROLLBACK, when=_after(RunKind.EMERGENCY, RunKind.STANDARD))
def activation_as_left(view: View) -> Finding:
    run = _last()
    parts = OFF[run.level]
    on = Activation.objects.filter(part__in=parts, is_on=True)
    if again := [each.part for each in on if each.since > run.started_at]:
        raise Skipped(f"{', '.join(again)} was switched on again", "nothing is to be done")
    wrong = [str(each) for each in on]
    said = f"{len(wrong)} parts are on" if wrong else f"off: {', '.join(part.value for part in parts)}"
    return judged(not wrong, f"{len(wrong)} on", "0 on", said, remedy=AGAIN, offending=wrong)


@check("stand_ins_whole", DATA, Suite.POST_ROLLBACK, when=_after(RunKind.EMERGENCY))
def stand_ins_whole(view: View) -> Finding:
    """In place of what is in quarantine: there, empty, of the same shape."""
    run = _as_left()
    tables = _quarantined(run)
    wrong = [each for name in tables for each in _unlike(view, run, name)]
    said = f"{len(wrong)} faults" if wrong else f"{len(tables)} empty tables stand in"
    return judged(not wrong, f"{len(wrong)} faults", "0 faults", said, remedy=AGAIN, offending=wrong)


def _quarantined(run: RecoveryRun) -> Sequence[str]:
    """Raises Skipped after a purge, or where it never got there."""
    if not quarantine.is_held(run):
        raise Skipped(f"{run} holds nothing in quarantine", "nothing is to be done")
    return list(runner.evidence(run, "quarantine").get("tables", []))


def _unlike(view: View, run: RecoveryRun, name: str) -> list[str]:
    if not view.value("SELECT to_regclass(%s) IS NOT NULL", [sql.quoted(name)]):
        return [f"nothing stands in for {name}"]
    if view.value("SELECT to_regclass(%s) IS NULL", [sql.quoted(run.schema, name)]):
        return []  # which the other check is for
    found, kept = (shape(view.connection, sql.quoted(schema, name)) for schema in ("", run.schema))
    has_rows = view.value(f"SELECT EXISTS (SELECT FROM {sql.quoted(name)})")
    differs = found.keys() != kept.keys()
    return [f"{name} has rows"] * has_rows + [f"{name} is of another shape"] * differs


@check("quarantine_unchanged", DATA, Suite.POST_ROLLBACK, seconds=60, when=_after(RunKind.EMERGENCY))
def quarantine_unchanged(view: View) -> Finding:
    run = _last()
    tables, held = _quarantined(run), set(quarantine.tables_of(run))
    wrong = [f"{name} is not in quarantine" for name in tables if name not in held]
    content = _content(run)
    for each in (each for each in protected() if each.table in held and each.table in tables):
        if content_hash(sql.quoted(run.schema, each.table), each.lasting) != content.get(each.table):
            wrong.append(f"{each.table} in quarantine is not as its snapshot says")
    compared = [each.table for each in protected() if each.table in held]
    said = (
        f"{len(wrong)} faults" if wrong else f"{len(tables)} tables are in quarantine; {', '.join(compared)} unchanged"
    )
    remedy = (
        f"compare with {run.snapshot}, as soon as the rollback is undone: manage.py restore {run.snapshot} --dry-run"
    )
    return judged(not wrong, f"{len(wrong)} faults", "0 faults", said, remedy=remedy, offending=wrong)


def _content(run: RecoveryRun) -> dict[str, str]:
    """Content hashes by table. Raises Skipped without a snapshot that lies here."""
    if not run.snapshot:
        raise Skipped("no snapshot was made", "the quarantine is all there is: see the run's page")
    try:
        manifest: Manifest = operations.opened(operations.found(run.snapshot))
    except SlipwayError as error:
        raise Skipped(str(error.args[0]), "run it where the snapshot lies") from error
    return {table.table: table.content for table in manifest.tables}


@check("emptied", DATA, Suite.POST_ROLLBACK, when=_after(RunKind.STANDARD))
def emptied(view: View) -> Finding:
    """No cache entry is left, flagged ones neither."""
    _as_left()
    counts = {each.table: view.value(f"SELECT count(*) FROM {sql.quoted(each.table)}") for each in _emptied()}
    wrong = [f"{table}: {count} rows" for table, count in counts.items() if count]
    said = f"{', '.join(wrong)} are left" if wrong else "no cache entry is left"
    return judged(not wrong, f"{sum(counts.values())} rows", "0 rows", said, remedy=AGAIN, offending=wrong)


def _emptied() -> list[Protection]:
    return [each for each in protected() if each.on_standard and not each.resets]


@check("states_at_baseline", DATA, Suite.POST_ROLLBACK, when=_after(RunKind.STANDARD))
def states_at_baseline(view: View) -> Finding:
    _as_left()
    wrong = baseline.unlike()
    said = f"{len(wrong)} provider states are not at their baseline" if wrong else "provider states are as new"
    return judged(not wrong, f"{len(wrong)} states", "0 states", said, remedy=AGAIN, offending=wrong)


@check("rest_unchanged", DATA, Suite.POST_ROLLBACK, seconds=60, when=_after(RunKind.STANDARD))
def rest_unchanged(view: View) -> Finding:
    """What a standard rollback has nothing to do with is as it was before it; an edit since is no fault of it."""
    run = _as_left()
    content = _content(run)
    rest = [each for each in protected() if not each.on_standard]
    wrong = [
        each.table for each in rest if content_hash(sql.quoted(each.table), each.lasting) != content.get(each.table)
    ]
    said = f"{', '.join(wrong)} changed since" if wrong else f"{len(rest)} other tables are as before"
    remedy = "see who edited them since; what it changed is in the run's evidence"
    otherwise = Result.WARN  # the clean-up proved it, while nobody could write
    limit = "0 tables"
    return judged(not wrong, f"{len(wrong)} tables", limit, said, remedy=remedy, offending=wrong, otherwise=otherwise)


@check("every_step_recorded", CATEGORY, Suite.POST_ROLLBACK, when=_after(RunKind.GRADUAL))
def every_step_recorded(view: View) -> Finding:
    run = _last()
    if run.outcome == RunOutcome.CUT_SHORT or (run.ended_at is None and run.steps.filter(ended_at=None).count() > 1):
        raise Skipped(f"{run} did not go all the way", "nothing is to be done")
    done = set(run.steps.filter(outcome=RunOutcome.DONE).values_list("name", flat=True))
    wrong = [place.name for place in gradual.LADDER if place.name not in done]
    said = f"{len(wrong)} steps are missing" if wrong else f"{len(gradual.LADDER)} steps are on record"
    return judged(not wrong, f"{len(done)} steps", len(gradual.LADDER), said, remedy=AGAIN, offending=wrong)


def verified(level: str, run: int) -> dict[str, object]:
    """For recovery: how the suite went, as evidence."""
    report = validate(Suite.POST_ROLLBACK, actor=SYSTEM)
    bad = [each for each in report.outcomes if each.finding.result in (Result.FAIL, Result.ERROR)]
    results = {each.check.id: each.finding.result.value for each in report.outcomes}
    problem = "; ".join(f"{each.check.id}: {each.finding.message}" for each in bad)
    return {"passed": not bad, "overall": report.overall.value, "checks": results} | (
        {"problem": problem} if bad else {}
    )
