"""The control loop: what each tick measures of each rollout, and does. Any number of workers may tick: whoever is
first on an epoch wins, and the others do nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
import structlog
from django.db.models import Model
from django.db.models.functions import Now

from core.access.actors import SYSTEM
from core.notices.notify import Event, notify
from core.switches import Part
from rollout.choices import Consequence, Guard, RunState, Stage, Verdict
from rollout.control import feeds as watched
from rollout.decisions.guards import Counts, Judged, Limit, Measured, judge
from rollout.decisions.stages import ACTIVE, Arm, Decision, Next, Plan, State, decide
from rollout.gate import counters, heartbeat
from rollout.gate.counters import Visit
from rollout.models import Activation, GuardReading, Rollout, StagePolicy
from rollout.operations import lifecycle
from rollout.operations.lifecycle import Overtaken

READ_AGAIN = timedelta(seconds=4)  # a little less than from one tick to the next
log = structlog.get_logger("slipway.rollout")


@dataclass(frozen=True, slots=True)
class Seen:
    """A rollout, what is asked of its stage, and what was measured there, all at one moment of the database's clock."""

    rollout: Rollout
    plan: Plan
    state: State
    judged: Sequence[Judged]
    decision: Decision
    now: datetime


def tick() -> int:
    """Look at every rollout that runs, and do what is to be done. Returns how many moved.

    One that breaks holds up no other; its own gates answer control until it can be looked at.
    """
    moved = 0
    for rollout in Rollout.objects.filter(run_state__in=ACTIVE).exclude(stage=Stage.DISABLED):
        try:
            moved += _tick(rollout)
        except Exception:
            log.exception("a rollout could not be looked at", rollout=rollout.name)
            counters.cannot_be_judged(rollout.name)
    with suppress(redis.RedisError):  # without it gates know no tick, and the guards say that they cannot tell
        heartbeat.beat()
    return moved


def _tick(rollout: Rollout) -> bool:
    seen = look(rollout)
    if not GuardReading.objects.filter(rollout=rollout, at__gt=Now() - READ_AGAIN).exists():  # nor had another worker
        _write_down(seen)
    try:
        return _act(seen)
    except Overtaken:  # by an operator or another worker; the next tick looks again
        return False


def _write_down(seen: Seen) -> None:
    rollout = seen.rollout
    GuardReading.objects.bulk_create(
        GuardReading(
            rollout=rollout,
            epoch=rollout.epoch,
            stage=rollout.stage,
            guard=one.guard,
            value=one.value,
            limit=one.limit,
            samples=one.samples,
            verdict=one.verdict,
        )
        for one in seen.judged
    )


def look(rollout: Rollout) -> Seen:
    """Measure and judge, change nothing."""
    policy = StagePolicy.objects.get(rollout=rollout, stage=rollout.stage)
    limits = {
        Guard(row.guard): Limit(row.at_most, row.min_samples, row.is_on, Consequence(row.leads))
        for row in policy.guards.all()
    }
    limits = {guard: limits.get(guard, Limit(0.0, is_on=False)) for guard in Guard}
    visit = visit_of(rollout, policy)
    measured, fell = _measure(rollout, visit)
    judged = judge(Stage(rollout.stage), measured, limits)
    state = State(
        stage=Stage(rollout.stage),
        run_state=RunState(rollout.run_state),
        percent=rollout.percent,
        entered_at=rollout.percent_entered_at,
        paused_seconds=rollout.paused_seconds,
        pace=rollout.pace,
        is_approved=rollout.approved_epoch is not None,
        is_frozen=not Activation.objects.allows(Part.ADVANCING),
        fell=fell,
        blind_ticks=_blind_ticks(rollout, visit, judged),
    )
    plan = policy.plan
    now = database_now(rollout)
    return Seen(rollout, plan, state, judged, decide(state, plan, judged, now), now)


def visit_of(rollout: Rollout, policy: StagePolicy) -> Visit:
    """The stage visit that is going on, without a hard limit."""
    window = policy.window_minutes * 60 if policy.window_minutes else None
    return Visit(rollout.epoch, rollout.stage_epoch, window_seconds=window)


def _measure(rollout: Rollout, visit: Visit) -> tuple[Measured, int]:
    """And the errors with which a hard limit fell. Without Redis nothing is measured, which the guards say."""
    feeds = watched.look()
    seen = (feeds.watched, feeds.failing) if feeds else None
    control = Counts(rollout.control_requests, rollout.control_errors)
    try:
        candidate = counters.read(rollout.name, Arm.CANDIDATE, visit)
        return Measured(candidate, control, seen), counters.fell(rollout.name, rollout.settled_epoch)
    except redis.RedisError:
        return Measured(None, feeds=seen), 0


def _blind_ticks(rollout: Rollout, visit: Visit, judged: Sequence[Judged]) -> int:
    """How often in a row, this time included, a guard could not be measured."""
    most = 0
    for one in judged:
        if one.verdict is Verdict.ERROR and one.leads is not Consequence.WARN:
            before = GuardReading.objects.filter(
                rollout=rollout, guard=one.guard, epoch__gte=visit.first_epoch, at__gte=rollout.stage_entered_at
            )
            row = 1
            for verdict in before.order_by("-at").values_list("verdict", flat=True)[:100]:
                if verdict != Verdict.ERROR:
                    break
                row += 1
            most = max(most, row)
    return most


def database_now(row: Model) -> datetime:
    """The database's clock, asked by way of a row that is there."""
    now: datetime = type(row)._default_manager.filter(pk=row.pk).values_list(Now(), flat=True).get()
    return now


def _act(seen: Seen) -> bool:
    rollout, decision, judged = seen.rollout, seen.decision, seen.judged
    reason = "; ".join(decision.reasons)
    guards = {one.guard for one in judged}
    if Guard.ERROR_RATE in guards and Guard.ERRORS not in guards:
        counters.let_relative_judge(rollout.name, rollout.stage_epoch)
    if decision.next is Next.TRIP:
        lifecycle.trip(rollout, decision.stage, judged, actor=SYSTEM, reason=reason)
        said = f"{rollout.name} went back from {rollout.stage} to {decision.stage}: {reason}"
        notify(Event("rollout_trip", rollout.name, said))
        return True
    if decision.next is Next.WAIT and rollout.run_state == RunState.WAITING:
        return False
    verbs: Mapping[Next, Callable[[], object]] = {
        Next.ADVANCE: lambda: lifecycle.advance(rollout, judged, actor=SYSTEM, reason=reason),
        Next.STEP: lambda: lifecycle.step(rollout, decision.percent, judged, actor=SYSTEM, reason=reason),
        Next.FINISH: lambda: lifecycle.finish(rollout, judged, actor=SYSTEM, reason=reason),
        Next.WAIT: lambda: lifecycle.wait(rollout, judged, actor=SYSTEM),
    }
    if decision.next not in verbs:
        return False
    verbs[decision.next]()
    return True
