"""The guards that a stage can measure, and the settings of its policies that have an effect there. Pure."""

from collections.abc import Set

from rollout.choices import Guard, Stage
from rollout.decisions.guards import OWN_GUARDS, guards_of

LIMITED = {Guard.ERRORS, Guard.ERROR_RATE, Guard.P95_MS, Guard.HIT_RATE, Guard.MISMATCH_RATE, Guard.FEED_HEALTH}
TOLERANT = {Guard.ERROR_RATE, Guard.LATENCY, *OWN_GUARDS}  # they compare with control


def is_measurable(stage: Stage, binding: Set[Guard], *, has_hold_back: bool) -> bool:
    """Return whether a guard of this stage could ever pass or be violated; else a rollout would stay in it forever.

    binding: the stage's guards that are switched on and have a consequence. FEED_HEALTH does not count, because it
        measures the feeds and not the candidate, and neither does a guard that the stage does not judge.
    has_hold_back: whether control serves a part of the keys in FULL_ACTIVE.
    """
    return not binding.isdisjoint(guards_of(stage, has_hold_back=has_hold_back))


def idle_guard_fields(stage: Stage, guard: Guard) -> set[str]:
    """Return the names of the numbers in a guard's policy that have no effect in this stage."""
    idle = set()
    if guard not in LIMITED:
        idle.add("at_most")
    if guard not in TOLERANT or stage is Stage.DARK_MODE:  # control runs alone there
        idle.add("tolerance")
    return idle


def idle_stage_fields(stage: Stage, guards: Set[Guard]) -> set[str]:
    """Return the names of the settings in a stage's policy that have no effect in this stage.

    guards: those that the stage has a policy for.
    """
    idle = set()
    if stage is not Stage.PARTIAL_ACTIVE:
        idle.add("percents")
    if stage is Stage.FULL_ACTIVE:
        idle.add("needs_approval")  # no stage follows
    else:
        idle.add("hold_back_percent")
    if not guards >= {Guard.ERRORS, Guard.ERROR_RATE}:
        idle.add("first_requests")
    return idle
