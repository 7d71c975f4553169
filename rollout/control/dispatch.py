"""The verbs by their names, as commands and pages receive them. Most are recorded with the judgments at that moment."""

from collections.abc import Callable, Mapping, Sequence

import structlog

from core.access.actors import Actor
from core.errors import Refused
from rollout.choices import Stage
from rollout.control.assessment import CannotJudge, assess_for_operator
from rollout.decisions.guards import Judgment
from rollout.models import Rollout, Transition
from rollout.operations import archive, lifecycle

# The judgments are evidence for these. If the rollout cannot be judged, they work without.
WITH_EVIDENCE: Mapping[str, Callable[..., Transition]] = {
    "approve": lifecycle.approve,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
}
WITHOUT_EVIDENCE: Mapping[str, Callable[..., Transition]] = {
    "archive": archive.archive,
    "unarchive": archive.unarchive,
}
log = structlog.get_logger("slipway.rollout")


def apply_verb(verb: str, rollout: Rollout, *, actor: Actor, reason: str, pace: float = 1.0) -> Transition:
    """Carry out a verb on the rollout as its caller read it. Raises what the operation raises.

    Only `advance` needs the guards' judgments, and is refused without them.

    verb: `start`, `advance`, `abort`, or one of WITH_EVIDENCE and WITHOUT_EVIDENCE.
    pace: counts for `start` alone.
    """
    if verb == "start":
        return lifecycle.start(rollout, actor=actor, reason=reason, pace=pace)
    if verb == "abort":
        return lifecycle.abort(rollout, actor=actor, reason=reason, evidence=_judgments)
    if verb == "advance":
        return lifecycle.advance(rollout, _judgments_for_advance(rollout), actor=actor, reason=reason)
    if verb in WITHOUT_EVIDENCE:
        return WITHOUT_EVIDENCE[verb](rollout, actor=actor, reason=reason)
    return WITH_EVIDENCE[verb](rollout, _judgments_if_possible(rollout), actor=actor, reason=reason)


def _judgments(rollout: Rollout) -> Sequence[Judgment]:
    """Return the guards' judgments now. Raises CannotJudge."""
    return [] if rollout.stage == Stage.DISABLED else assess_for_operator(rollout).judgments


def _judgments_for_advance(rollout: Rollout) -> Sequence[Judgment]:
    """Return the guards' judgments now. Raises Refused if the rollout cannot be judged."""
    try:
        return _judgments(rollout)
    except CannotJudge as error:
        raise Refused(
            f"cannot advance {rollout.name}: it cannot be judged: {error}",
            "remove the cause, and try again; abort, pause and resume work all the same",
        ) from error


def _judgments_if_possible(rollout: Rollout) -> Sequence[Judgment]:
    try:
        return _judgments(rollout)
    except CannotJudge as error:
        log.warning("a verb is recorded without evidence", rollout=rollout.name, error=str(error))
        return []
