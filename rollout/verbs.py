"""The verbs by name, for whoever is told one: each is put on record with the guards as they stand."""

from collections.abc import Callable, Mapping

from rollout import operations, ticks
from rollout.actors import Actor
from rollout.choices import Stage
from rollout.models import Rollout, Transition

VERBS: Mapping[str, Callable[..., Transition]] = {
    "advance": operations.advance,
    "approve": operations.approve,
    "pause": operations.pause,
    "resume": operations.resume,
    "abort": operations.abort,
}


def act(verb: str, rollout: Rollout, *, actor: Actor, reason: str, pace: float = 1.0) -> Transition:
    """pace: of a start. Raises what the operations raise."""
    if verb == "start":
        return operations.start(rollout, actor=actor, reason=reason, pace=pace)
    judged = [] if rollout.stage == Stage.DISABLED else ticks.look(rollout).judged
    return VERBS[verb](rollout, judged, actor=actor, reason=reason)
