"""What there is to be told of a rollout: where it stands, what was measured, and what happens next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from core.errors import WrongInput
from core.switches import Part
from rollout.choices import Guard, RunState, Stage
from rollout.control import feeds as watched
from rollout.control import loop
from rollout.control.feeds import Feeds
from rollout.decisions.guards import Judged
from rollout.decisions.stages import Decision, Next, seconds_left
from rollout.gate import heartbeat
from rollout.models import Activation, Rollout


@dataclass(frozen=True, slots=True)
class Status:
    """seconds_left: of the stage, or of its percent step; None where no time runs."""

    rollout: Rollout
    seconds_in_stage: float
    seconds_left: float | None
    next: str
    judged: Sequence[Judged]
    feeds: Feeds
    is_frozen: bool

    def document(self) -> dict[str, Any]:
        rollout, feeds = self.rollout, self.feeds
        return {
            "name": rollout.name,
            "stage": rollout.stage,
            "run_state": rollout.run_state,
            "epoch": rollout.epoch,
            "percent": rollout.percent,
            "pace": rollout.pace,
            "frozen": self.is_frozen,
            "seconds_in_stage": round(self.seconds_in_stage, 1),
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left, 1),
            "next": self.next,
            "guards": [
                {
                    "name": one.guard.value,
                    "value": one.value,
                    "limit": one.limit,
                    "samples": one.samples,
                    "verdict": one.verdict.value,
                }
                for one in self.judged
            ],
            "providers": {
                "watched": feeds.watched,
                "healthy": feeds.healthy,
                "failing": feeds.failing,
                "inactive": feeds.inactive,
            },
        }


def named(name: str) -> Rollout:
    """Raises WrongInput."""
    try:
        return Rollout.objects.get(name=name)
    except Rollout.DoesNotExist:
        known = ", ".join(Rollout.objects.order_by("name").values_list("name", flat=True)[:20])
        raise WrongInput(f"there is no rollout {name[:50]!r}", f"take one of {known}") from None


def status(rollout: Rollout) -> Status:
    """As a tick would see it now; nothing is changed."""
    feeds, is_frozen = watched.look() or Feeds(), not Activation.objects.allows(Part.ADVANCING)
    if rollout.stage == Stage.DISABLED:
        now = loop.database_now(rollout)
        since = (now - rollout.stage_entered_at).total_seconds()
        return Status(rollout, since, None, _until_started(rollout, now), [], feeds, is_frozen)
    seen = loop.look(rollout)
    since = (seen.now - rollout.stage_entered_at).total_seconds()
    left = seconds_left(seen.state, seen.plan, rollout.paused_at or seen.now)
    runs = None if rollout.run_state == RunState.DONE else left
    return Status(rollout, since, runs, _said(seen.decision), seen.judged, feeds, is_frozen)


def _until_started(rollout: Rollout, now: datetime) -> str:
    if rollout.run_state != RunState.COOLING or rollout.cool_down_until is None:
        return "nothing, until somebody starts it"
    left = (rollout.cool_down_until - now).total_seconds()
    fall = rollout.transitions.filter(verb__in=["trip", "abort"]).latest("epoch")
    when = f"after {left:.0f} s more" if left > 0 else "now"
    return f"a person may start it again {when}, with a reason; it fell: {fall.reason}"


def _said(decision: Decision) -> str:
    why = "; ".join(decision.reasons)
    lead = {
        Next.STAY: "it stays",
        Next.ADVANCE: f"{decision.stage} with the next tick",
        Next.STEP: f"{decision.percent} % with the next tick",
        Next.WAIT: "it waits",
        Next.TRIP: f"back to {decision.stage} with the next tick",
        Next.FINISH: "done with the next tick",
    }
    return f"{lead[decision.next]}: {why}"


def shown_value(guard: Guard, value: float | None) -> str:
    """As people read it, with its unit."""
    if value is None:
        return "–"
    if guard is Guard.ERRORS:
        return f"{value:.0f}"
    if guard is Guard.P95_MS:
        return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"
    return f"{100 * value:.3g} %"


def shown_limit(one: Judged) -> str:
    return f"{'≥' if one.guard is Guard.HIT_RATE else '≤'} {shown_value(one.guard, one.limit)}"


MEANS = {
    Part.POLLING: "no feed is polled",
    Part.WARMING: "no cache is refreshed",
    Part.SERVING: "every gate answers control",
    Part.ADVANCING: "no rollout advances by itself; guards still take them back",
}


def switched_off() -> list[str]:
    """A line for each part that is off."""
    return [
        f"{row.get_part_display()} is off since {row.since:%Y-%m-%d %H:%M} UTC, by {row.by}: "
        f"{row.reason or 'no reason given'}. Meanwhile {MEANS[Part(row.part)]}."
        for row in Activation.objects.switched_off().order_by("part")
    ]


def banners() -> list[str]:
    """What is not as it should be, whichever page one looks at."""
    return [*switched_off(), *signs()]


def signs() -> list[str]:
    """Whether the control loop lives."""
    told = []
    try:
        if not heartbeat.is_fresh():
            told.append(
                f"No tick of the control loop for {heartbeat.FADES_AFTER_SECONDS} s: gates answer control. "
                "Look at beat and workers."
            )
    except redis.RedisError:
        told.append("Redis does not answer: nothing can be measured, and gates answer control within 30 s.")
    return told
