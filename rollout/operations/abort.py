"""The abort of a rollout. It needs the rollout's row and nothing else.

An operator can take a rollout back without Redis, without a policy that can be read, and while other tables are locked.
The operator's page or command may have read the rollout before it changed.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import redis
import structlog
from django.db import Error, transaction
from django.db.models import F
from django.db.models.functions import Now

from core.access.actors import Actor, require
from core.db.lock_wait import short_lock_waits
from core.errors import Refused
from rollout.choices import RunState, Stage
from rollout.decisions import trips
from rollout.decisions.guards import Judgment
from rollout.decisions.ranges import STAGE_RANGES
from rollout.gate import marks
from rollout.models import Rollout, StagePolicy, Transition
from rollout.operations import transitions
from rollout.operations.transitions import Columns, status_command

DEFAULT_COOL_DOWN_MINUTES = 15.0  # if the policy cannot be read
Evidence = Callable[[Rollout], Sequence[Judgment]]
log = structlog.get_logger("slipway.rollout")


def abort(seen: Rollout, *, actor: Actor, reason: str, evidence: Evidence | None = None) -> Transition:
    """Disable the rollout at once, as it is now. If it has just tripped, it cools down all the same.

    The transition is returned unsaved if it cannot be written into the history now. Then a tick, or the next verb,
    writes it.

    seen: names the rollout. It may have changed since the caller read it.
    evidence: returns the guards' judgments of the rollout as it was before. It is called when the rollout is disabled
        already; what it raises is logged, and the transition then has no evidence.
    Raises Refused if the rollout is disabled, or if the actor lacks the permission.
    """
    require(actor, "rollout.abort_rollout")
    before, unrecorded = _disable(seen, actor, reason)
    judgments = _judgments(before, evidence) if evidence else []
    try:
        with short_lock_waits():
            recorded = transitions.record_unrecorded(before, judgments)
    except Error as error:
        log.error("a rollout was aborted, and its history is written later", rollout=before.name, error=str(error))
        recorded = None
    return recorded or unrecorded


@transaction.atomic
def _disable(seen: Rollout, actor: Actor, reason: str) -> tuple[Rollout, Transition]:
    """Disable the rollout. Return it as it was before, and the transition, which its row keeps until it is recorded."""
    before = Rollout.objects.select_for_update(no_key=True).get(pk=seen.pk)
    if before.stage == Stage.DISABLED:
        raise Refused(f"cannot abort {before.name}: it is disabled already", status_command(before))
    disabled: Columns = {**transitions.entered_stage(Stage.DISABLED, 0), "run_state": RunState.IDLE}
    disabled |= transitions.settled()
    trip_errors = 0
    with suppress(redis.RedisError):
        trip_errors = marks.read_trip_errors(before.attempt.hex)
    if trip_errors:
        disabled |= cooling(before)
        reason = f"{trips.describe_exceeded_limit(trip_errors)}; {reason}".removesuffix("; ")
    columns: Mapping[str, Any] = {
        "epoch": before.epoch + 1,
        "verb": "abort",
        "from_stage": before.stage,
        "to_stage": Stage.DISABLED.value,
        "percent": 0,
        "run_state": disabled["run_state"].value,
        "pace": before.pace,
        "actor": actor.get_username(),
        "reason": reason,
    }
    at = Rollout.objects.filter(pk=before.pk).values_list(Now(), flat=True).get()
    Rollout.objects.filter(pk=before.pk).update(
        epoch=F("epoch") + 1,
        unrecorded_transition={**columns, "at": at.isoformat()},
        **disabled,
    )
    transaction.on_commit(partial(_inform_gates, before))
    return before, Transition(rollout=before, at=at, evidence=[], **columns)


def cooling(seen: Rollout) -> Columns:
    """Return the columns of a rollout that was disabled by a guard: it cools down as its stage's policy has it."""
    minutes = DEFAULT_COOL_DOWN_MINUTES
    try:
        with short_lock_waits():
            minutes = StagePolicy.objects.get(rollout=seen, stage=seen.stage).cool_down_minutes
    except (Error, StagePolicy.DoesNotExist) as error:
        log.warning("cannot read how long a rollout cools down", rollout=seen.name, minutes=minutes, error=str(error))
    until = Now() + timedelta(minutes=STAGE_RANGES["cool_down_minutes"].clamp(minutes))
    return {"run_state": RunState.COOLING, "cool_down_until": until}


def _inform_gates(before: Rollout) -> None:
    """Let every gate serve control, also one that cannot read the stage because a policy table is locked."""
    with suppress(redis.RedisError):
        marks.mark_aborted(before.attempt.hex)
    transitions.publish_change(before.name)


def _judgments(before: Rollout, evidence: Evidence) -> Sequence[Judgment]:
    try:
        with short_lock_waits():
            return evidence(before)
    except Exception as error:  # the rollout is disabled; an error here must not make the abort look like a failure
        log.warning("an abort has no evidence", rollout=before.name, error=str(error))
        return []
