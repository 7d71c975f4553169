"""The verbs of a rollout, each a callable on the rollout as its caller read it.

Every verb checks the permission of its actor. In one transaction, it changes the rollout if its epoch is still the one
that was read, and records a Transition with the judgments as evidence. Gates are informed after the commit.

The arguments that the verbs share:

seen: the rollout as the caller read it. Raises Overtaken if it changed since.
judgments: the guards' judgments, recorded as evidence.
actor: the operator or machine that does it. Raises Refused if it lacks the permission.
reason: for the history.
"""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F, Model
from django.db.models.functions import Extract, Now

from core.access import retention
from core.access.actors import Actor, Machine, require
from core.access.audit import acting
from core.db import batches
from core.errors import Refused, WrongInput
from core.switches import Part
from rollout.choices import RunState, Stage, Verdict
from rollout.decisions import stages
from rollout.decisions.counts import Counts
from rollout.decisions.guards import P95_SHARE, Judgment, worst
from rollout.decisions.latency import bucket_number, percentile_ms
from rollout.models import Activation, GuardReading, Rollout, StagePolicy, Transition, VisitEvidence
from rollout.operations import transitions
from rollout.operations.abort import abort as abort  # a verb like the others
from rollout.operations.abort import cooling
from rollout.operations.transitions import Columns, restarted_clock, status_command
from rollout.operations.transitions import Overtaken as Overtaken

MOVING = (RunState.RUNNING, RunState.WAITING)
PACE_AT_MOST = 10


def start(seen: Rollout, *, actor: Actor, reason: str, pace: float = 1.0) -> Transition:
    """Move the rollout from DISABLED to DARK_MODE.

    After a trip its cool-down must be over, and an operator must give a reason.

    pace: greater than 0 and at most 10; 0.05 shortens ten minutes to half a minute.
    """
    require(actor, "rollout.start_rollout")
    if seen.stage != Stage.DISABLED:
        raise Refused(f"cannot start {seen.name}: it is in {seen.stage} already", status_command(seen))
    if seen.archived_at is not None:
        raise Refused(f"cannot start {seen.name}: it is archived", f"run: manage.py rollout unarchive {seen.name}")
    if not 0 < pace <= PACE_AT_MOST:
        raise WrongInput(
            f"pace must be greater than 0 and at most {PACE_AT_MOST} (got {pace:g})",
            "set --pace 1, or 0.05 for a trial",
        )
    if seen.run_state == RunState.COOLING:
        _require_restart(seen, actor, reason)
    changes: Columns = {"pace": pace, "cool_down_until": None, **transitions.settled()}
    return transitions.enter(seen, "start", Stage.DARK_MODE, actor, reason, changes=changes)


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
        raise Refused(f"cannot advance {seen.name}: it is in its last stage", status_command(seen))
    if worst(judgments) is not Verdict.PASS:
        raise Refused(f"cannot advance {seen.name}: its guards do not pass", status_command(seen))
    if seen.approved_epoch is None and StagePolicy.objects.get(rollout=seen, stage=seen.stage).needs_approval:
        require(actor, "rollout.approve_rollout")
    next_stage = stages.ORDER[stages.ORDER.index(Stage(seen.stage)) + 1]
    return transitions.enter(seen, "advance", next_stage, actor, reason, judgments, changes=_control_sample(seen))


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
    return transitions.change(seen, "step", actor, reason, judgments, {"percent": percent, **restarted_clock()})


def finish(seen: Rollout, judgments: Sequence[Judgment], *, actor: Actor, reason: str) -> Transition:
    """Mark the rollout as done in its last stage, which needs a PASS. Its guards continue to watch."""
    require(actor, "rollout.advance_rollout")
    _require_state(seen, MOVING, "finish")
    if seen.stage != Stage.FULL_ACTIVE or worst(judgments) is not Verdict.PASS:
        raise Refused(
            f"cannot finish {seen.name}: it is not in FULL_ACTIVE, or its guards do not pass", status_command(seen)
        )
    return transitions.change(seen, "finish", actor, reason, judgments, {"run_state": RunState.DONE})


def wait(seen: Rollout, judgments: Sequence[Judgment], *, actor: Actor) -> Transition:
    """Let the rollout wait for an approval."""
    require(actor, "rollout.advance_rollout")
    _require_state(seen, (RunState.RUNNING,), "wait")
    reason = "the policy of this stage requires an approval"
    return transitions.change(seen, "wait", actor, reason, judgments, {"run_state": RunState.WAITING})


def approve(seen: Rollout, judgments: Sequence[Judgment] = (), *, actor: Actor, reason: str) -> Transition:
    """Approve the advance that the rollout waits for. The next tick advances it, if its guards still pass."""
    require(actor, "rollout.approve_rollout")
    _require_state(seen, (RunState.WAITING,), "approve")
    changes: Columns = {
        "run_state": RunState.RUNNING,
        "approved_by": actor.get_username(),
        "approved_epoch": seen.epoch + 1,
    }
    return transitions.change(seen, "approve", actor, reason, judgments, changes)


def pause(seen: Rollout, judgments: Sequence[Judgment] = (), *, actor: Actor, reason: str) -> Transition:
    """Stop the clock of the rollout. Its guards continue to watch."""
    require(actor, "rollout.pause_rollout")
    _require_state(seen, MOVING, "pause")
    return transitions.change(seen, "pause", actor, reason, judgments, _paused())


def _paused() -> Columns:
    return {"run_state": RunState.PAUSED, "paused_at": Now()}


def resume(seen: Rollout, judgments: Sequence[Judgment] = (), *, actor: Actor, reason: str) -> Transition:
    """Continue the clock of the rollout. The pause does not count as time in its stage."""
    require(actor, "rollout.resume_rollout")
    _require_state(seen, (RunState.PAUSED,), "resume")
    pause_length = ExpressionWrapper(Now() - F("paused_at"), output_field=DurationField())
    paused_seconds = F("paused_seconds") + Extract(pause_length, "epoch")
    changes: Columns = {"run_state": RunState.RUNNING, "paused_at": None, "paused_seconds": paused_seconds}
    return transitions.change(seen, "resume", actor, reason, judgments, changes)


def trip(seen: Rollout, to: Stage, judgments: Sequence[Judgment], *, actor: Actor, reason: str) -> Transition:
    """Take the rollout back because a guard was violated.

    to: DISABLED, where the rollout cools down; or the stage before, where it is paused until an operator resumes it.
    """
    require(actor, "rollout.abort_rollout")
    if seen.stage == Stage.DISABLED:
        raise Refused(f"cannot trip {seen.name}: it is disabled already", status_command(seen))
    changes = cooling(seen) if to is Stage.DISABLED else _paused()
    changes |= transitions.settled()
    return transitions.enter(seen, "trip", to, actor, reason, judgments, changes=changes)


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
    return transitions.enter(seen, "descend", to, actor, reason, changes=changes)


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
            transitions.change(rollout, verb, actor, reason)
    return has_changed


def _require_state(seen: Rollout, allowed: Sequence[RunState], verb: str) -> None:
    if seen.run_state not in allowed:
        state, states = RunState(seen.run_state).value, " or ".join(each.value for each in allowed)
        raise Refused(f"cannot {verb} {seen.name}: it is {state}, not {states}", status_command(seen))
