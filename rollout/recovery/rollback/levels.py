"""The three ways back: what each does, step by step, what it may take, and its undo."""

import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from core.access.actors import SYSTEM, Machine
from core.errors import first_line
from core.redaction import redact
from core.switches import Part
from rollout.choices import RunKind, RunOutcome, Stage
from rollout.models import RecoveryRun, RecoveryStep, Rollout, Snapshot
from rollout.operations import lifecycle
from rollout.recovery import protect, reactivate, runner
from rollout.recovery.protect import verification
from rollout.recovery.rollback import clean_up, gradual, quarantine
from rollout.recovery.runner import Evidence, Step
from rollout.recovery.snapshots import operations as snapshots

EARLIER_RUNS = 10
OFF = {
    RunKind.EMERGENCY: (Part.POLLING, Part.WARMING, Part.SERVING),
    RunKind.STANDARD: (Part.POLLING, Part.WARMING),  # the next poll would end the state that is to be proven
}


def abort_all(run: RecoveryRun) -> Evidence:
    """Raises Failed where one could not be; the others were."""
    moved, failed = [], []
    for rollout in Rollout.objects.exclude(stage=Stage.DISABLED).order_by("name"):
        try:
            moved.append(_abort(rollout.name, run))
        except Exception as error:  # one that is broken keeps no other up
            failed.append(f"{rollout.name}: {redact(first_line(error, type(error).__name__))}")
    if failed:
        raise runner.Failed(f"not disabled: {'; '.join(failed)}", "see manage.py rollout status")
    return {"moved": [each for each in moved if each]}


def _abort(name: str, run: RecoveryRun) -> str:
    """However often it moves meanwhile."""
    while (rollout := Rollout.objects.get(name=name)).stage != Stage.DISABLED:
        try:
            lifecycle.abort(rollout, actor=Machine(run.actor), reason=f"{run}: {run.reason}".removesuffix(": "))
        except lifecycle.Overtaken:
            continue
        return f"{name}: {rollout.stage} → DISABLED"
    return ""


def switch_off(run: RecoveryRun) -> Evidence:
    """Returns which were on."""
    parts = OFF[run.level]
    with runner.fenced(run, "switch_off") as evidence:
        evidence["switched_off"] = reactivate.switch_off(parts, actor=Machine(run.actor), reason=str(run))
    return evidence


def take_snapshot(run: RecoveryRun) -> Evidence:
    made = snapshot_of(run)
    mine = RecoveryRun.objects.filter(pk=run.pk, fence=run.fence, ended_at=None)
    if not mine.update(snapshot=made.name):
        raise runner.UnderWay(f"{run} was taken up by somebody else", "see Recovery runs in the admin")
    run.snapshot = made.name
    return {"snapshot": made.name, "rows": made.rows, "bytes": made.size_bytes}


def snapshot_of(run: RecoveryRun) -> Snapshot:
    """Of the protected tables, and of what it holds in quarantine."""
    held = quarantine.tables_of(run)
    places = dict.fromkeys(held, run.schema)
    return snapshots.create(actor=SYSTEM, reason=str(run), also=protect.of_models(held), places=places)


def clear(run: RecoveryRun) -> Evidence:
    """Where somebody wrote since the snapshot was made, another one is, while nobody can."""
    try:
        return clean_up.clear(run)
    except clean_up.Changed:
        return clean_up.clear(run, partial(take_snapshot, run))


def verify(run: RecoveryRun) -> Evidence:
    """Raises Failed with what does not hold."""
    found = verification(run.kind, run.pk)
    if not found.get("passed"):
        raise runner.Failed(
            str(found.get("problem", "the post-rollback suite fails")), "manage.py validate --suite post-rollback"
        )
    return found


DISABLED = "every rollout goes to DISABLED: gates serve the old way at once"
VERIFY = Step("verify", "the post-rollback suite looks whether all of that holds", verify, may_fail=True)
STEPS = {
    RunKind.EMERGENCY: (
        Step("rollouts", DISABLED, abort_all, may_fail=True),
        Step("switch_off", "polling, warming and serving are switched off", switch_off),
        Step(
            "quarantine",
            "provider states, cache entries and what hangs on them go into quarantine; empty tables stand in",
            quarantine.take_out,
        ),
        Step("snapshot", "what is in quarantine is snapshot", take_snapshot, may_fail=True),
        VERIFY,
    ),
    RunKind.STANDARD: (
        Step("rollouts", DISABLED, abort_all),
        Step("switch_off", "polling and warming are switched off", switch_off),
        Step("snapshot", "every protected table is snapshot", take_snapshot),
        Step("clean_up", "cache entries go, provider states go back to a backfill's; nothing else changes", clear),
        VERIFY,
    ),
}


REHEARSED_WITHIN = timedelta(days=30)


def rehearsal_fault(last: RecoveryRun | None, now: datetime) -> str:
    """What is wrong with the last rehearsal of a level; empty where nothing is."""
    if last is None or last.ended_at is None:
        return "was never rehearsed"
    if not last.has_kept_promise:
        return "did not keep its promise when it was rehearsed"
    return f"was last rehearsed on {last.ended_at:%Y-%m-%d}" if now - last.ended_at > REHEARSED_WITHIN else ""


@dataclass(frozen=True, slots=True)
class Planned:
    """seconds: as earlier runs took; None: there were none."""

    name: str
    says: str
    seconds: float | None


def plan(level: RunKind, pace: float = 1.0) -> list[Planned]:
    """What it would do; nothing is changed."""
    if level in STEPS:
        return [Planned(each.name, each.says, _usual_seconds(level, each.name)) for each in STEPS[level]]
    hold = gradual.HOLD.total_seconds() * pace
    places = [Planned(name, says, hold) for name, says in gradual.foreseen(pace).items()]
    return [*places, Planned(VERIFY.name, VERIFY.says, None)]


def _usual_seconds(level: RunKind, name: str) -> float | None:
    earlier = RecoveryStep.objects.filter(run__kind=level, name=name, outcome=RunOutcome.DONE, run__is_rehearsal=False)
    earlier = earlier.order_by("-pk")
    took = [step.seconds for step in earlier[:EARLIER_RUNS] if step.seconds is not None]
    return statistics.median(took) if took else None
