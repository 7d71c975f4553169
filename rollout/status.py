"""The status of a rollout for an operator: its stage, what was measured there, and what happens next."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
from django.db import OperationalError

from core.db.clock import database_now
from core.db.lock_wait import short_lock_waits
from core.errors import WrongInput
from core.switches import Part
from core.text import whole_units
from rollout.choices import RunState, Stage
from rollout.control import feeds
from rollout.control.assessment import Assessment, CannotJudge, assess_for_operator
from rollout.control.feeds import FeedCounts
from rollout.decisions.forecast import describe_hold
from rollout.decisions.guards import Judgment
from rollout.decisions.stages import Decision, Next, seconds_left
from rollout.gate import heartbeat
from rollout.models import Activation, GuardReading, Rollout

NAMED_AT_MOST = 20  # rollouts in an error message
RECENT = timedelta(minutes=2)  # the past that a forecast extends
RECENT_AT_LEAST = timedelta(seconds=15)  # a shorter past is no rate


@dataclass(frozen=True, slots=True)
class Status:
    """A rollout as the next tick would assess it.

    seconds_left: of the stage, or of its percent step; None if no time runs.
    next: what the next tick would do, and why; or that the rollout cannot be judged, and why.
    is_frozen: whether automatic advances are frozen.
    cannot_judge: why the rollout cannot be judged; empty if it can be.
    holds: what holds the rollout in its stage, and how much traffic it still needs; empty if it does not run or cannot
        be judged.
    """

    rollout: Rollout
    seconds_in_stage: float
    seconds_left: float | None
    next: str
    judgments: Sequence[Judgment]
    feeds: FeedCounts
    is_frozen: bool
    cannot_judge: str = ""
    holds: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the document of `manage.py rollout status --json`, whose fields are a contract."""
        rollout = self.rollout
        return {
            "name": rollout.name,
            "stage": rollout.stage,
            "run_state": rollout.run_state,
            "epoch": rollout.epoch,
            "percent": rollout.percent,
            "pace": rollout.pace,
            "frozen": self.is_frozen,
            "archived": rollout.archived_at is not None,
            "seconds_in_stage": round(self.seconds_in_stage, 1),
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left, 1),
            "next": self.next,
            "cannot_judge": self.cannot_judge or None,
            "holds": self.holds,
            "guards": [
                {
                    "name": judgment.name,
                    "value": judgment.value,
                    "control": judgment.control,
                    "limit": judgment.limit_value,
                    "bound": judgment.bound_value,
                    "samples": judgment.samples,
                    "needed": judgment.needed,
                    "verdict": judgment.verdict.value,
                    "note": judgment.note,
                }
                for judgment in self.judgments
            ],
            "providers": {
                "watched": self.feeds.watched,
                "healthy": self.feeds.healthy,
                "failing": self.feeds.failing,
                "inactive": self.feeds.inactive,
            },
            "feeds_not_measured": list(self.feeds.broken),
        }


def find_rollout(name: str) -> Rollout:
    """Return the rollout of this name. Raises WrongInput if it does not exist."""
    try:
        return Rollout.objects.get(name=name)
    except Rollout.DoesNotExist:
        known = ", ".join(Rollout.objects.listed().order_by("name").values_list("name", flat=True)[:NAMED_AT_MOST])
        raise WrongInput(f"cannot find a rollout {name[:50]!r}", f"choose one of: {known}") from None


def read_status(rollout: Rollout) -> Status:
    """Assess the rollout as a tick would do it now. It changes nothing."""
    feed_counts = feeds.count_feeds() or FeedCounts()
    is_frozen = not Activation.objects.allows(Part.ADVANCING)
    if rollout.stage == Stage.DISABLED:
        now = database_now(rollout)
        in_stage = (now - rollout.stage_entered_at).total_seconds()
        return Status(rollout, in_stage, None, _until_started(rollout, now), [], feed_counts, is_frozen)
    try:
        assessment = assess_for_operator(rollout)
    except CannotJudge as error:
        in_stage = (database_now(rollout) - rollout.stage_entered_at).total_seconds()
        cause = str(error)
        return Status(rollout, in_stage, None, f"cannot be judged: {cause}", [], feed_counts, is_frozen, cause)
    in_stage = (assessment.now - rollout.stage_entered_at).total_seconds()
    left = seconds_left(assessment.progress, assessment.plan, rollout.paused_at or assessment.now)
    judgments, next_step = assessment.judgments, _describe_decision(assessment.decision)
    holds = describe_hold(assessment.progress, assessment.plan, judgments, left, _sample_growth(assessment))
    shown_left = None if rollout.run_state == RunState.DONE else left
    return Status(rollout, in_stage, shown_left, next_step, judgments, feed_counts, is_frozen, holds=holds)


def _sample_growth(assessment: Assessment) -> dict[str, float]:
    """Return by how many samples per second each guard's sample grew in the recent past, by the judgment's name.

    A guard without a reading from then, or whose sample shrank since, is absent; all are if the readings are locked.
    """
    rollout, now = assessment.rollout, assessment.now
    readings = GuardReading.objects.filter(
        rollout=rollout,
        name__in=[judgment.name for judgment in assessment.judgments],
        epoch__gte=rollout.stage_epoch,
        at__range=(max(now - RECENT, rollout.stage_entered_at), now - RECENT_AT_LEAST),
    )
    oldest = readings.order_by("name", "at").distinct("name").values_list("name", "samples", "at")
    growth = {}
    with suppress(OperationalError), short_lock_waits():
        earlier = {name: (samples, at) for name, samples, at in oldest}
        for judgment in assessment.judgments:
            samples, at = earlier.get(judgment.name, (math.inf, now))
            if judgment.samples >= samples:
                growth[judgment.name] = (judgment.samples - samples) / (now - at).total_seconds()
    return growth


def _until_started(rollout: Rollout, now: datetime) -> str:
    """Return what a disabled rollout waits for."""
    if rollout.archived_at is not None:
        return f"nothing, because it is archived: manage.py rollout unarchive {rollout.name}"
    start = f"manage.py rollout start {rollout.name}"
    if rollout.run_state != RunState.COOLING or rollout.cool_down_until is None:
        return f"nothing until an operator starts it: {start}"
    seconds = (rollout.cool_down_until - now).total_seconds()
    when = f"in {whole_units(seconds)}" if seconds > 0 else "now"
    return f"an operator may start it again {when}: {start} --reason WHY; it tripped: {_last_trip_reason(rollout)}"


def _last_trip_reason(rollout: Rollout) -> str:
    if rollout.unrecorded_transition:  # the history may be locked
        return str(rollout.unrecorded_transition["reason"])
    return rollout.transitions.filter(verb__in=["trip", "abort"]).latest("epoch").reason


def _describe_decision(decision: Decision) -> str:
    """Return what the next tick does, and why, as `stay in DARK_MODE: 300 s are left`."""
    action = {
        Next.STAY: f"stay in {decision.stage}",
        Next.ADVANCE: f"advance to {decision.stage} at the next tick",
        Next.STEP: f"raise the traffic share to {decision.percent} % at the next tick",
        Next.WAIT: "wait for an approval",
        Next.TRIP: f"go back to {decision.stage} at the next tick",
        Next.FINISH: "finish at the next tick",
    }[decision.next]
    return f"{action}: {'; '.join(decision.reasons)}"


WHILE_OFF = {
    Part.POLLING: "no feed is polled",
    Part.WARMING: "no cache is refreshed",
    Part.SERVING: "every gate answers control",
    Part.ADVANCING: "no rollout advances by itself; guards still take rollouts back",
}


def banners() -> list[str]:
    """Return a line for each thing that every page of the console warns of."""
    return [*switched_off_banners(), *control_loop_banners()]


def switched_off_banners() -> list[str]:
    """Return a line for each part that is switched off, with its consequence."""
    return [
        f"{row.get_part_display()} is off since {row.since:%Y-%m-%d %H:%M} UTC, by {row.by}: "
        f"{row.reason or 'no reason given'}. While it is off, {WHILE_OFF[Part(row.part)]}."
        for row in Activation.objects.switched_off().order_by("part")
    ]


def control_loop_banners() -> list[str]:
    """Return a line if the control loop does not tick, or if that cannot be read."""
    try:
        is_ticking = heartbeat.is_fresh()
    except redis.RedisError:
        return ["Redis does not answer: nothing is measured, and gates answer control within 30 s. Check /readyz."]
    if is_ticking:
        return []
    return [
        f"No tick of the control loop for {heartbeat.FADES_AFTER_SECONDS} s: gates answer control. "
        "Check beat and the workers of the queue control."
    ]
