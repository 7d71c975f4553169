"""What can be done with a rollout: one callable per verb, each for the rollout as its caller saw it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

import redis
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F, Model
from django.db.models.functions import Extract, Now

from core.access import retention
from core.access.actors import Actor, Machine, require
from core.access.audit import acting
from core.db import batches
from core.errors import Refused, SlipwayError, WrongInput
from core.redis import client, key
from core.switches import Part
from rollout.choices import RunState, Stage, Verdict
from rollout.decisions import stages
from rollout.decisions.guards import Counts, Judged, worst
from rollout.gate import counters
from rollout.models import Activation, GuardReading, Rollout, StagePolicy, Transition

MOVING = (RunState.RUNNING, RunState.WAITING)


class Overtaken(SlipwayError):
    """Somebody was faster."""


def start(seen: Rollout, *, actor: Actor, reason: str, pace: float = 1.0) -> Transition:
    """From disabled to dark mode. After a trip its cool-down has to be over, and a person has to say why."""
    require(actor, "rollout.start_rollout")
    if seen.stage != Stage.DISABLED:
        raise Refused(f"{seen.name} runs already", "see manage.py rollout status")
    if not 0 < pace <= 10:
        raise WrongInput(f"a pace of {pace:g} is none", "take 1, or 0.05 for a trial")
    if seen.run_state == RunState.COOLING:
        _require_restart(seen, actor, reason)
    return _enter(seen, "start", Stage.DARK_MODE, actor, reason, pace=pace, cool_down_until=None)


def _require_restart(seen: Rollout, actor: Actor, reason: str) -> None:
    if isinstance(actor, Machine) and actor.name == "system":
        raise Refused(f"{seen.name} was tripped", "a person has to start it again")
    if not reason.strip():
        raise WrongInput(f"{seen.name} was tripped", "say with --reason why it may run again")
    if Rollout.objects.filter(pk=seen.pk, cool_down_until__gt=Now()).exists():
        raise Refused(
            f"{seen.name} cools down until {seen.cool_down_until:%H:%M:%S} UTC", "wait, and look at why it fell"
        )


def advance(seen: Rollout, judged: Sequence[Judged], *, actor: Actor, reason: str) -> Transition:
    """One stage on, before its time is over but not without a PASS of its guards."""
    require(actor, "rollout.advance_rollout")
    if seen.stage == Stage.DISABLED:
        raise Refused(f"{seen.name} is disabled", "start it: manage.py rollout start")
    _require_state(seen, MOVING, "advance")
    if seen.stage == Stage.FULL_ACTIVE:
        raise Refused(f"{seen.name} is in its last stage", "there is nothing to advance to")
    if worst(judged) is not Verdict.PASS:
        raise Refused(f"the guards of {seen.name} do not pass", "see manage.py rollout status")
    if seen.approved_epoch is None and StagePolicy.objects.get(rollout=seen, stage=seen.stage).needs_approval:
        require(actor, "rollout.approve_rollout")
    following = stages.ORDER[stages.ORDER.index(Stage(seen.stage)) + 1]
    sample: dict[str, Any] = _controls_sample(seen) if following is Stage.FULL_ACTIVE else {}
    return _enter(seen, "advance", following, actor, reason, judged, **sample)


def _controls_sample(seen: Rollout) -> dict[str, int]:
    """What control did in the visit that ends, for as long as the next stage lasts; nothing where nobody can tell."""
    try:
        found = counters.read(seen.name, stages.Arm.CONTROL, counters.Visit(seen.epoch, seen.stage_epoch))
    except redis.RedisError:
        found = Counts()
    requests, errors = (0, 0) if found.dropped else (found.requests, found.errors)
    return {"control_requests": requests, "control_errors": errors}


def step(seen: Rollout, percent: int, judged: Sequence[Judged], *, actor: Actor, reason: str) -> Transition:
    """To the next share of the same stage."""
    require(actor, "rollout.advance_rollout")
    _require_state(seen, MOVING, "step")
    if not seen.percent < percent <= 100:
        raise WrongInput(f"{percent} % is no larger share than {seen.percent} %", "shares only grow")
    return _change(seen, "step", actor, reason, judged, percent=percent, **_now_entered())


def finish(seen: Rollout, judged: Sequence[Judged], *, actor: Actor, reason: str) -> Transition:
    """In its last stage for its time, with a PASS: done. The guards go on watching."""
    require(actor, "rollout.advance_rollout")
    _require_state(seen, MOVING, "finish")
    if seen.stage != Stage.FULL_ACTIVE or worst(judged) is not Verdict.PASS:
        raise Refused(f"{seen.name} is not done", "see manage.py rollout status")
    return _change(seen, "finish", actor, reason, judged, run_state=RunState.DONE)


def wait(seen: Rollout, judged: Sequence[Judged], *, actor: Actor) -> Transition:
    """For an approval."""
    require(actor, "rollout.advance_rollout")
    _require_state(seen, (RunState.RUNNING,), "wait")
    return _change(seen, "wait", actor, "its policy asks for an approval", judged, run_state=RunState.WAITING)


def approve(seen: Rollout, judged: Sequence[Judged] = (), *, actor: Actor, reason: str) -> Transition:
    """What it waits for; the next tick advances it, if its guards still pass."""
    require(actor, "rollout.approve_rollout")
    _require_state(seen, (RunState.WAITING,), "approve")
    return _change(
        seen,
        "approve",
        actor,
        reason,
        judged,
        run_state=RunState.RUNNING,
        approved_by=actor.get_username(),
        approved_epoch=seen.epoch + 1,
    )


def pause(seen: Rollout, judged: Sequence[Judged] = (), *, actor: Actor, reason: str) -> Transition:
    """Its time stands still; its guards go on watching."""
    require(actor, "rollout.pause_rollout")
    _require_state(seen, MOVING, "pause")
    return _change(seen, "pause", actor, reason, judged, run_state=RunState.PAUSED, paused_at=Now())


def resume(seen: Rollout, judged: Sequence[Judged] = (), *, actor: Actor, reason: str) -> Transition:
    require(actor, "rollout.resume_rollout")
    _require_state(seen, (RunState.PAUSED,), "resume")
    pause_length = ExpressionWrapper(Now() - F("paused_at"), output_field=DurationField())
    paused = F("paused_seconds") + Extract(pause_length, "epoch")
    return _change(
        seen, "resume", actor, reason, judged, run_state=RunState.RUNNING, paused_at=None, paused_seconds=paused
    )


def abort(seen: Rollout, judged: Sequence[Judged] = (), *, actor: Actor, reason: str) -> Transition:
    """To disabled, at once. One that fell just before cools down all the same."""
    require(actor, "rollout.abort_rollout")
    if seen.stage == Stage.DISABLED:
        raise Refused(f"{seen.name} is disabled", "there is nothing to abort")
    fell = 0
    with suppress(redis.RedisError):
        fell = counters.fell(seen.name, seen.settled_epoch)
    if fell:
        reason = f"a hard limit fell, with {fell} errors; {reason}".removesuffix("; ")
    rest: dict[str, Any] = _cooling(seen) if fell else {"run_state": RunState.IDLE}
    return _enter(seen, "abort", Stage.DISABLED, actor, reason, judged, **rest)


def _cooling(seen: Rollout) -> dict[str, Any]:
    policy = StagePolicy.objects.get(rollout=seen, stage=seen.stage)
    until = Now() + timedelta(minutes=policy.cool_down_minutes)
    return {"run_state": RunState.COOLING, "cool_down_until": until}


def trip(seen: Rollout, to: Stage, judged: Sequence[Judged], *, actor: Actor, reason: str) -> Transition:
    """Back, because a guard fell: to disabled, where it cools down, or one stage, where it is paused until a person
    has it go on.
    """
    require(actor, "rollout.abort_rollout")
    if seen.stage == Stage.DISABLED:
        raise Refused(f"{seen.name} is disabled", "there is nothing to take back")
    paused = {"run_state": RunState.PAUSED, "paused_at": Now()}
    return _enter(seen, "trip", to, actor, reason, judged, **(_cooling(seen) if to is Stage.DISABLED else paused))


def descend(seen: Rollout, to: Stage, percent: int, *, actor: Actor, reason: str) -> Transition:
    """Down, as part of a gradual rollback: it stays there, with its guards watching, until that takes it on."""
    require(actor, "rollout.abort_rollout")
    if to is Stage.DISABLED:
        return abort(seen, actor=actor, reason=reason)
    share: dict[str, Any] = {"percent": percent} if percent else {}
    return _enter(seen, "descend", to, actor, reason, run_state=RunState.PAUSED, paused_at=Now(), **share)


@transaction.atomic
def freeze(*, actor: Actor, reason: str) -> bool:
    """Stop all automatic advances, never a rollback. Returns whether they were not frozen before."""
    return _set_advancing(False, actor, reason)


@transaction.atomic
def unfreeze(*, actor: Actor, reason: str) -> bool:
    return _set_advancing(True, actor, reason)


def prune() -> int:
    """Delete readings, transitions, failed sign-ins and sessions past their retention. Returns how many."""
    kept: list[tuple[type[Model], str, int]] = [
        (GuardReading, "at", GuardReading.KEEP_DAYS),
        (Transition, "at", Transition.KEEP_DAYS),
    ]
    return batches.prune(kept) + retention.prune_sign_ins()


def _set_advancing(is_on: bool, actor: Actor, reason: str) -> bool:
    require(actor, f"rollout.{'unfreeze' if is_on else 'freeze'}_rollout")
    verb = "unfreeze" if is_on else "freeze"
    with acting(actor, verb):
        found = Activation.objects.filter(part=Part.ADVANCING, is_on=not is_on)
        changed = found.update(is_on=is_on, since=Now(), by=actor.get_username(), reason=reason)
    if changed:
        for rollout in Rollout.objects.select_for_update().order_by("pk"):
            _change(rollout, verb, actor, reason)
    return bool(changed)


def _require_state(seen: Rollout, allowed: Sequence[RunState], verb: str) -> None:
    if seen.run_state not in allowed:
        state = RunState(seen.run_state).label.lower()
        raise Refused(
            f"{seen.name} is {state}", f"to {verb} it has to be {' or '.join(s.label.lower() for s in allowed)}"
        )


def _now_entered() -> dict[str, Any]:
    return {"percent_entered_at": Now(), "paused_at": None, "paused_seconds": 0.0}


def _enter(
    seen: Rollout,
    verb: str,
    stage: Stage,
    actor: Actor,
    reason: str,
    judged: Sequence[Judged] = (),
    *,
    run_state: RunState = RunState.RUNNING,
    **more: Any,
) -> Transition:
    policy = StagePolicy.objects.filter(rollout=seen, stage=stage).first()
    percent = stages.share_on_entry(stage, policy.plan) if policy else 0
    begun = {"stage_entered_at": Now(), "stage_epoch": F("epoch") + 1, "approved_by": "", "approved_epoch": None}
    if verb not in ("advance", "descend"):  # a fall binds what moves raced it
        begun["settled_epoch"] = F("epoch") + 1
    changes = _now_entered() | begun | {"stage": stage, "run_state": run_state, "percent": percent} | more
    return _change(seen, verb, actor, reason, judged, **changes)


def _tell(name: str) -> None:
    """Every gate looks at once; without Redis within a second."""
    with suppress(redis.RedisError):
        client().publish(key("rollouts"), name)


def tell_gates() -> None:
    """Of what is not a rollout's own, once it is committed."""
    transaction.on_commit(partial(_tell, "all"))


@transaction.atomic
def _change(
    seen: Rollout, verb: str, actor: Actor, reason: str, judged: Sequence[Judged] = (), **changes: Any
) -> Transition:
    """Raises Overtaken when the rollout moved after `seen` was read."""
    if not Rollout.objects.unchanged_since(seen).update(epoch=F("epoch") + 1, **changes):
        raise Overtaken(f"{seen.name} has moved since you read it", "run: manage.py rollout status")
    transaction.on_commit(partial(_tell, seen.name))
    return record(Rollout.objects.get(pk=seen.pk), verb, Stage(seen.stage), actor, reason, judged)


def record(
    now: Rollout, verb: str, from_stage: Stage, actor: Actor, reason: str, judged: Sequence[Judged] = ()
) -> Transition:
    """How the rollout came to be as it is now."""
    return Transition.objects.create(
        rollout=now,
        epoch=now.epoch,
        verb=verb,
        from_stage=from_stage,
        to_stage=now.stage,
        percent=now.percent,
        run_state=now.run_state,
        pace=now.pace,
        actor=actor.get_username(),
        reason=reason,
        evidence=[asdict(one) for one in judged],
    )
