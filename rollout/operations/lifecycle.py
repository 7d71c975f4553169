"""The verbs of a rollout, each a callable on the rollout as its caller read it.

Every verb checks the permission of its actor, changes the rollout only if its epoch is still the one that was read, and
records a Transition with the judgments as evidence, in one transaction. Gates are informed after the commit.

The arguments that the verbs share:

seen: the rollout as the caller read it. Raises Overtaken if it changed since.
judgments: the guards' judgments, recorded as evidence.
actor: the operator or machine that does it. Raises Refused if it lacks the permission.
reason: for the history.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import TypedDict

import redis
from django.contrib.postgres.functions import RandomUUID
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F, Model
from django.db.models.expressions import Combinable
from django.db.models.functions import Extract, Now

from core.access import retention
from core.access.actors import Actor, Machine, require
from core.access.audit import acting
from core.db import batches
from core.errors import Refused, SlipwayError, WrongInput
from core.redis import client, key
from core.switches import Part
from rollout.choices import RunState, Stage, Verdict
from rollout.decisions import stages, trips
from rollout.decisions.counts import Counts
from rollout.decisions.guards import P95_SHARE, Judgment, worst
from rollout.decisions.latency import bucket_number, percentile_ms
from rollout.gate import marks
from rollout.models import (
    Activation,
    GuardPolicy,
    GuardReading,
    Rollout,
    StagePolicy,
    Transition,
    VisitEvidence,
)

MOVING = (RunState.RUNNING, RunState.WAITING)
PACE_AT_MOST = 10


class Overtaken(SlipwayError):
    """The rollout changed after the caller read it."""


class Columns(TypedDict, total=False):
    """The columns of a rollout that a verb changes, with their new values or expressions."""

    stage: Stage
    run_state: RunState
    percent: int
    pace: float
    stage_epoch: Combinable
    settled_epoch: Combinable
    stage_entered_at: Combinable
    percent_entered_at: Combinable
    paused_at: Combinable | None
    paused_seconds: float | Combinable
    approved_by: str
    approved_epoch: int | None
    visit: Combinable
    attempt: Combinable
    control_requests: int
    control_errors: int
    control_slow_bucket: int | None
    cool_down_until: datetime | Combinable | None


def start(seen: Rollout, *, actor: Actor, reason: str, pace: float = 1.0) -> Transition:
    """Move the rollout from DISABLED to DARK_MODE.

    After a trip its cool-down must be over, and an operator must give a reason.

    pace: greater than 0 and at most 10; 0.05 shortens ten minutes to half a minute.
    """
    require(actor, "rollout.start_rollout")
    if seen.stage != Stage.DISABLED:
        raise Refused(f"cannot start {seen.name}: it is in {seen.stage} already", _status_command(seen))
    if not 0 < pace <= PACE_AT_MOST:
        raise WrongInput(
            f"pace must be greater than 0 and at most {PACE_AT_MOST} (got {pace:g})",
            "set --pace 1, or 0.05 for a trial",
        )
    if seen.run_state == RunState.COOLING:
        _require_restart(seen, actor, reason)
    return _enter(seen, "start", Stage.DARK_MODE, actor, reason, changes={"pace": pace, "cool_down_until": None})


def _require_restart(seen: Rollout, actor: Actor, reason: str) -> None:
    """Raise Refused or WrongInput if the rollout must not be started again after its trip."""
    if isinstance(actor, Machine) and actor.name == "system":
        raise Refused(
            f"cannot start {seen.name}: it tripped",
            f"an operator must run: manage.py rollout start {seen.name} --reason WHY",
        )
    if not reason.strip():
        raise WrongInput(f"cannot start {seen.name}: it tripped", "give the reason why it may run again with --reason")
    if Rollout.objects.filter(pk=seen.pk, cool_down_until__gt=Now()).exists():
        raise Refused(
            f"cannot start {seen.name}: it cools down until {seen.cool_down_until:%H:%M:%S} UTC",
            f"wait; to see why it tripped, run: manage.py rollout history {seen.name}",
        )


def advance(seen: Rollout, judgments: Sequence[Judgment], *, actor: Actor, reason: str) -> Transition:
    """Move the rollout to its next stage. The stage's time need not be over, but the guards must PASS."""
    require(actor, "rollout.advance_rollout")
    if seen.stage == Stage.DISABLED:
        raise Refused(f"cannot advance {seen.name}: it is disabled", f"run: manage.py rollout start {seen.name}")
    _require_state(seen, MOVING, "advance")
    if seen.stage == Stage.FULL_ACTIVE:
        raise Refused(f"cannot advance {seen.name}: it is in its last stage", _status_command(seen))
    if worst(judgments) is not Verdict.PASS:
        raise Refused(f"cannot advance {seen.name}: its guards do not pass", _status_command(seen))
    if seen.approved_epoch is None and StagePolicy.objects.get(rollout=seen, stage=seen.stage).needs_approval:
        require(actor, "rollout.approve_rollout")
    next_stage = stages.ORDER[stages.ORDER.index(Stage(seen.stage)) + 1]
    return _enter(seen, "advance", next_stage, actor, reason, judgments, changes=_control_sample(seen))


def _control_sample(seen: Rollout) -> Columns:
    """Return what control did in the visit that ends, for the next stage to compare with.

    The sample is empty if nothing was recorded.
    """
    row = VisitEvidence.objects.filter(pk=seen.pk, visit=seen.visit).first()
    control = row.decoded().total.control if row else Counts()
    p95_ms = percentile_ms(control.latencies, P95_SHARE)
    return {
        "control_requests": control.requests,
        "control_errors": control.failing,
        "control_slow_bucket": None if p95_ms is None else bucket_number(p95_ms),
    }


def step(seen: Rollout, percent: int, judgments: Sequence[Judgment], *, actor: Actor, reason: str) -> Transition:
    """Raise the traffic share within the same stage.

    percent: the next share, larger than the present one and at most 100.
    """
    require(actor, "rollout.advance_rollout")
    _require_state(seen, MOVING, "step")
    if not seen.percent < percent <= 100:
        raise WrongInput(
            f"percent must be greater than {seen.percent} and at most 100 (got {percent})",
            f"shares only grow; to lower one, run: manage.py rollout abort {seen.name}",
        )
    return _change_rollout(seen, "step", actor, reason, judgments, {"percent": percent, **_restarted_clock()})


def finish(seen: Rollout, judgments: Sequence[Judgment], *, actor: Actor, reason: str) -> Transition:
    """Mark the rollout as done in its last stage, which needs a PASS. Its guards continue to watch."""
    require(actor, "rollout.advance_rollout")
    _require_state(seen, MOVING, "finish")
    if seen.stage != Stage.FULL_ACTIVE or worst(judgments) is not Verdict.PASS:
        raise Refused(
            f"cannot finish {seen.name}: it is not in FULL_ACTIVE, or its guards do not pass", _status_command(seen)
        )
    return _change_rollout(seen, "finish", actor, reason, judgments, {"run_state": RunState.DONE})


def wait(seen: Rollout, judgments: Sequence[Judgment], *, actor: Actor) -> Transition:
    """Let the rollout wait for an approval."""
    require(actor, "rollout.advance_rollout")
    _require_state(seen, (RunState.RUNNING,), "wait")
    reason = "the policy of this stage requires an approval"
    return _change_rollout(seen, "wait", actor, reason, judgments, {"run_state": RunState.WAITING})


def approve(seen: Rollout, judgments: Sequence[Judgment] = (), *, actor: Actor, reason: str) -> Transition:
    """Approve the advance that the rollout waits for. The next tick advances it, if its guards still pass."""
    require(actor, "rollout.approve_rollout")
    _require_state(seen, (RunState.WAITING,), "approve")
    changes: Columns = {
        "run_state": RunState.RUNNING,
        "approved_by": actor.get_username(),
        "approved_epoch": seen.epoch + 1,
    }
    return _change_rollout(seen, "approve", actor, reason, judgments, changes)


def pause(seen: Rollout, judgments: Sequence[Judgment] = (), *, actor: Actor, reason: str) -> Transition:
    """Stop the clock of the rollout. Its guards continue to watch."""
    require(actor, "rollout.pause_rollout")
    _require_state(seen, MOVING, "pause")
    return _change_rollout(seen, "pause", actor, reason, judgments, {"run_state": RunState.PAUSED, "paused_at": Now()})


def resume(seen: Rollout, judgments: Sequence[Judgment] = (), *, actor: Actor, reason: str) -> Transition:
    """Continue the clock of the rollout. The pause does not count as time in its stage."""
    require(actor, "rollout.resume_rollout")
    _require_state(seen, (RunState.PAUSED,), "resume")
    pause_length = ExpressionWrapper(Now() - F("paused_at"), output_field=DurationField())
    paused_seconds = F("paused_seconds") + Extract(pause_length, "epoch")
    changes: Columns = {"run_state": RunState.RUNNING, "paused_at": None, "paused_seconds": paused_seconds}
    return _change_rollout(seen, "resume", actor, reason, judgments, changes)


def abort(seen: Rollout, judgments: Sequence[Judgment] = (), *, actor: Actor, reason: str) -> Transition:
    """Disable the rollout at once. If it has just tripped, it cools down all the same."""
    require(actor, "rollout.abort_rollout")
    if seen.stage == Stage.DISABLED:
        raise Refused(f"cannot abort {seen.name}: it is disabled already", _status_command(seen))
    trip_errors = 0
    with suppress(redis.RedisError):
        trip_errors = marks.read_trip_errors(seen.attempt.hex)
    changes: Columns = {"run_state": RunState.IDLE}
    if trip_errors:
        changes = _cooling(seen)
        reason = f"{trips.describe_exceeded_limit(trip_errors)}; {reason}".removesuffix("; ")
    return _enter(seen, "abort", Stage.DISABLED, actor, reason, judgments, changes=changes)


def _cooling(seen: Rollout) -> Columns:
    policy = StagePolicy.objects.get(rollout=seen, stage=seen.stage)
    until = Now() + timedelta(minutes=policy.cool_down_minutes)
    return {"run_state": RunState.COOLING, "cool_down_until": until}


def _paused() -> Columns:
    return {"run_state": RunState.PAUSED, "paused_at": Now()}


def trip(seen: Rollout, to: Stage, judgments: Sequence[Judgment], *, actor: Actor, reason: str) -> Transition:
    """Take the rollout back because a guard was violated.

    to: DISABLED, where the rollout cools down; or the stage before, where it is paused until an operator resumes it.
    """
    require(actor, "rollout.abort_rollout")
    if seen.stage == Stage.DISABLED:
        raise Refused(f"cannot trip {seen.name}: it is disabled already", _status_command(seen))
    changes = _cooling(seen) if to is Stage.DISABLED else _paused()
    return _enter(seen, "trip", to, actor, reason, judgments, changes=changes)


def descend(seen: Rollout, to: Stage, percent: int, *, actor: Actor, reason: str) -> Transition:
    """Move the rollout down as part of a gradual rollback, which also moves it on from there.

    Until then the rollout is paused, and its guards watch.

    percent: the traffic share there; 0: the one that the policy of the stage begins with.
    """
    require(actor, "rollout.abort_rollout")
    if to is Stage.DISABLED:
        return abort(seen, actor=actor, reason=reason)
    changes = _paused()
    if percent:
        changes["percent"] = percent
    return _enter(seen, "descend", to, actor, reason, changes=changes)


@transaction.atomic
def freeze(*, actor: Actor, reason: str) -> bool:
    """Stop the automatic advances of all rollouts, but no rollback. Return whether they were on before."""
    return _set_advancing(False, actor, reason)


@transaction.atomic
def unfreeze(*, actor: Actor, reason: str) -> bool:
    """Allow automatic advances again. Return whether they were frozen before."""
    return _set_advancing(True, actor, reason)


def prune() -> int:
    """Delete readings, transitions, failed sign-ins and sessions past their retention. Return the number of rows."""
    retentions: list[tuple[type[Model], str, int]] = [
        (GuardReading, "at", GuardReading.KEEP_DAYS),
        (Transition, "at", Transition.KEEP_DAYS),
    ]
    return batches.prune(retentions) + retention.prune_sign_ins()


def _set_advancing(is_on: bool, actor: Actor, reason: str) -> bool:
    verb = "unfreeze" if is_on else "freeze"
    require(actor, f"rollout.{verb}_rollout")
    with acting(actor, verb):
        row = Activation.objects.filter(part=Part.ADVANCING, is_on=not is_on)
        has_changed = bool(row.update(is_on=is_on, since=Now(), by=actor.get_username(), reason=reason))
    if has_changed:
        for rollout in Rollout.objects.select_for_update().order_by("pk"):
            _change_rollout(rollout, verb, actor, reason)
    return has_changed


def _status_command(seen: Rollout) -> str:
    return f"run: manage.py rollout status {seen.name}"


def _require_state(seen: Rollout, allowed: Sequence[RunState], verb: str) -> None:
    if seen.run_state not in allowed:
        state, states = RunState(seen.run_state).value, " or ".join(each.value for each in allowed)
        raise Refused(f"cannot {verb} {seen.name}: it is {state}, not {states}", _status_command(seen))


def _restarted_clock() -> Columns:
    """Return the columns of a rollout that enters a stage or a percent step."""
    return {"percent_entered_at": Now(), "paused_at": None, "paused_seconds": 0.0}


def _enter(
    seen: Rollout,
    verb: str,
    stage: Stage,
    actor: Actor,
    reason: str,
    judgments: Sequence[Judgment] = (),
    *,
    changes: Columns,
) -> Transition:
    """Move the rollout to a stage and begin a stage visit.

    changes: columns that differ from those of a rollout that runs at the beginning of the stage.
    """
    policy = StagePolicy.objects.filter(rollout=seen, stage=stage).first()
    entered: Columns = {
        "stage": stage,
        "run_state": RunState.RUNNING,
        "percent": stages.percent_on_entry(stage, policy.plan) if policy else 0,
        "stage_entered_at": Now(),
        "stage_epoch": F("epoch") + 1,
        "visit": RandomUUID(),
        "approved_by": "",
        "approved_epoch": None,
        **_restarted_clock(),
    }
    if verb not in ("advance", "descend"):  # those do not settle a trip that they raced
        entered |= {"settled_epoch": F("epoch") + 1, "attempt": RandomUUID()}
    return _change_rollout(seen, verb, actor, reason, judgments, {**entered, **changes})


@transaction.atomic
def _change_rollout(
    seen: Rollout,
    verb: str,
    actor: Actor,
    reason: str,
    judgments: Sequence[Judgment] = (),
    changes: Columns | None = None,
) -> Transition:
    """Change the rollout and record the transition. Raises Overtaken if it changed after `seen` was read."""
    if not Rollout.objects.unchanged_since(seen).update(epoch=F("epoch") + 1, **(changes or {})):
        raise Overtaken(f"cannot {verb} {seen.name}: it changed after you read it", _status_command(seen))
    transaction.on_commit(partial(_publish_change, seen.name))
    return record_transition(Rollout.objects.get(pk=seen.pk), verb, Stage(seen.stage), actor, reason, judgments)


def record_transition(
    rollout: Rollout, verb: str, from_stage: Stage, actor: Actor, reason: str, judgments: Sequence[Judgment] = ()
) -> Transition:
    """Record how the rollout came to be as it is now, in a row of its history."""
    return Transition.objects.create(
        rollout=rollout,
        epoch=rollout.epoch,
        verb=verb,
        from_stage=from_stage,
        to_stage=rollout.stage,
        percent=rollout.percent,
        run_state=rollout.run_state,
        pace=rollout.pace,
        actor=actor.get_username(),
        reason=reason,
        evidence=[asdict(judgment) for judgment in judgments],
    )


def announce_to_gates() -> None:
    """Let every gate refresh its states after the commit, because something that all rollouts depend on changed."""
    transaction.on_commit(partial(_publish_change, "all"))


def announce_restored_policies(restored: Collection[type[Model]]) -> None:
    """Let every gate refresh its states after a restore that put policies back.

    restored: the models whose rows were put back.
    """
    if StagePolicy in restored or GuardPolicy in restored:
        announce_to_gates()


def _publish_change(name: str) -> None:
    """Let every gate refresh its states now. Without Redis they do so within a second."""
    with suppress(redis.RedisError):
        client().publish(key("rollouts"), name)
