"""The change of a rollout's row, and the record of it in the history, which all verbs share.

A verb changes the rollout only if its epoch is still the one that its caller read, and records a Transition in the
same transaction. Gates are informed after the commit. An abort does not wait for the history: its row keeps the
transition until it can be recorded.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, TypedDict

import redis
import structlog
from django.contrib.postgres.functions import RandomUUID
from django.db import Error, OperationalError, transaction
from django.db.models import F, Model
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from core.access.actors import Actor
from core.db.lock_wait import short_lock_waits
from core.errors import Refused, SlipwayError, first_line
from core.redis import client, key
from rollout.choices import RunState, Stage
from rollout.decisions import stages
from rollout.decisions.guards import Judgment
from rollout.models import GuardPolicy, Rollout, StagePolicy, Transition

LOCK_WAIT_MS = 1000  # a verb may lock the rollout's row for this time, and an abort waits for that row
log = structlog.get_logger("slipway.rollout")


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
    archived_at: Combinable | None


def status_command(seen: Rollout) -> str:
    """Return the remedy of a verb that does not fit: look at the rollout."""
    return f"run: manage.py rollout status {seen.name}"


def restarted_clock() -> Columns:
    """Return the columns of a rollout that enters a stage or a percent step."""
    return {"percent_entered_at": Now(), "paused_at": None, "paused_seconds": 0.0}


def entered_stage(stage: Stage, percent: int) -> Columns:
    """Return the columns of a rollout that runs at the beginning of a stage visit."""
    return {
        "stage": stage,
        "run_state": RunState.RUNNING,
        "percent": percent,
        "stage_entered_at": Now(),
        "stage_epoch": F("epoch") + 1,
        "visit": RandomUUID(),
        "approved_by": "",
        "approved_epoch": None,
        **restarted_clock(),
    }


def settled() -> Columns:
    """Return the columns of a rollout whose trips are settled: a new attempt begins.

    `settled_epoch` is for processes of release 0.2.0, which may run beside this one during an upgrade.
    """
    return {"settled_epoch": F("epoch") + 1, "attempt": RandomUUID()}


def enter(
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

    changes: columns that differ from those of a rollout that runs at the beginning of the stage, and those of
        `settled` if the verb settles trips. An advance does not settle a trip that it raced.
    """
    with _short_waits(seen, verb, "its policies"):
        policy = StagePolicy.objects.filter(rollout=seen, stage=stage).first()
    entered = entered_stage(stage, stages.percent_on_entry(stage, policy.plan) if policy else 0)
    return change(seen, verb, actor, reason, judgments, {**entered, **changes})


@transaction.atomic
def change(
    seen: Rollout,
    verb: str,
    actor: Actor,
    reason: str,
    judgments: Sequence[Judgment] = (),
    changes: Columns | None = None,
) -> Transition:
    """Change the rollout and record the transition.

    Raises Overtaken if it changed after `seen` was read, Refused if another session locks a table.
    """
    with _short_waits(seen, verb, "its row"):
        has_changed = Rollout.objects.unchanged_since(seen).update(epoch=F("epoch") + 1, **(changes or {}))
    if not has_changed:
        raise Overtaken(f"cannot {verb} {seen.name}: it changed after you read it", status_command(seen))
    transaction.on_commit(partial(publish_change, seen.name))
    with _short_waits(seen, verb, "its history"):
        rollout = Rollout.objects.get(pk=seen.pk)
        if rollout.unrecorded_transition is not None:
            record_unrecorded(rollout)
        return record(rollout, verb, Stage(seen.stage), actor, reason, judgments)


@contextmanager
def _short_waits(seen: Rollout, verb: str, needed: str) -> Iterator[None]:
    """Refuse the verb if what the block needs stays locked: it may hold the row, which an abort waits for."""
    try:
        with short_lock_waits(LOCK_WAIT_MS):
            yield
    except OperationalError as error:
        problem = f"cannot {verb} {seen.name}: {needed} cannot be used: {first_line(error)}"
        raise Refused(problem, "try again; abort needs neither policies nor history") from error


def record(
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
        evidence=as_evidence(judgments),
    )


def as_evidence(judgments: Sequence[Judgment]) -> list[dict[str, Any]]:
    """Return judgments as the column `evidence` of a transition stores them."""
    return [asdict(judgment) for judgment in judgments]


@transaction.atomic
def record_unrecorded(rollout: Rollout, judgments: Sequence[Judgment] = ()) -> Transition | None:
    """Write the abort that the rollout's history lacks. Return it; None if the history lacks none.

    The rollout's row is locked, so that two processes do not write it twice.

    judgments: those at the moment of the abort, if the caller knows them.
    """
    row = Rollout.objects.select_for_update(no_key=True).get(pk=rollout.pk)
    if row.unrecorded_transition is None:
        return None
    transition = Transition(rollout=row, evidence=as_evidence(judgments), **row.unrecorded_transition)
    transition.at = datetime.fromisoformat(row.unrecorded_transition["at"])
    transition.save(force_insert=True)
    Rollout.objects.filter(pk=row.pk).update(unrecorded_transition=None)
    return transition


def record_all_unrecorded() -> None:
    """Write each abort that a history lacks. If one cannot be written yet, the next tick tries again."""
    with short_lock_waits():
        unrecorded = list(Rollout.objects.exclude(unrecorded_transition=None))
    for rollout in unrecorded:
        try:
            with short_lock_waits():
                record_unrecorded(rollout)
        except Error as error:
            log.warning("cannot write an abort into the history yet", rollout=rollout.name, error=str(error))
        else:
            log.info("wrote an abort into the history, which could not be written before", rollout=rollout.name)


def announce_to_gates() -> None:
    """Let every gate refresh its states after the commit, because something that all rollouts depend on changed."""
    transaction.on_commit(partial(publish_change, "all"))


def announce_restored_policies(restored: Collection[type[Model]]) -> None:
    """Let every gate refresh its states after a restore that put policies back.

    restored: the models whose rows were put back.
    """
    if StagePolicy in restored or GuardPolicy in restored:
        announce_to_gates()


def publish_change(name: str) -> None:
    """Let every gate refresh its states now. Without Redis they do so within a second."""
    with suppress(redis.RedisError):
        client().publish(key("rollouts"), name)
