"""The verbs by name, for whoever is told one: each is put on record with the guards as they stand."""

from collections.abc import Callable, Mapping

from core.access.actors import Actor
from rollout.choices import Stage
from rollout.control import loop
from rollout.models import Rollout, Transition
from rollout.operations import lifecycle

VERBS: Mapping[str, Callable[..., Transition]] = {
    "advance": lifecycle.advance,
    "approve": lifecycle.approve,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
    "abort": lifecycle.abort,
}


def act(verb: str, rollout: Rollout, *, actor: Actor, reason: str, pace: float = 1.0) -> Transition:
    """pace: of a start. Raises what the operations raise."""
    if verb == "start":
        return lifecycle.start(rollout, actor=actor, reason=reason, pace=pace)
    judged = [] if rollout.stage == Stage.DISABLED else loop.look(rollout).judged
    return VERBS[verb](rollout, judged, actor=actor, reason=reason)
