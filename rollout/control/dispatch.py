"""The verbs by their names, as commands and pages receive them. Each is recorded with the judgments at that moment."""

from collections.abc import Callable, Mapping

from core.access.actors import Actor
from rollout.choices import Stage
from rollout.control import loop
from rollout.models import Rollout, Transition
from rollout.operations import lifecycle

OPERATIONS: Mapping[str, Callable[..., Transition]] = {
    "advance": lifecycle.advance,
    "approve": lifecycle.approve,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
    "abort": lifecycle.abort,
}


def apply_verb(verb: str, rollout: Rollout, *, actor: Actor, reason: str, pace: float = 1.0) -> Transition:
    """Carry out a verb on the rollout as its caller read it. Raises what the operation raises.

    verb: `start`, or one of those in OPERATIONS.
    pace: counts for `start` alone.
    """
    if verb == "start":
        return lifecycle.start(rollout, actor=actor, reason=reason, pace=pace)
    judgments = [] if rollout.stage == Stage.DISABLED else loop.assess(rollout).judgments
    return OPERATIONS[verb](rollout, judgments, actor=actor, reason=reason)
