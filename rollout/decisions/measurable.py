"""Whether a stage could ever be judged: without a guard that is measured, a rollout would stay in it forever. Pure."""

from collections.abc import Set

from rollout.choices import Guard, Stage
from rollout.decisions.guards import guards_of


def is_measurable(stage: Stage, binding: Set[Guard], *, has_hold_back: bool) -> bool:
    """Return whether a guard of this stage could ever pass or be violated.

    binding: the stage's guards that are switched on and have a consequence. FEED_HEALTH does not count, because it
        measures the feeds and not the candidate, and neither does a guard that the stage does not judge.
    has_hold_back: whether control serves a part of the keys in FULL_ACTIVE.
    """
    return not binding.isdisjoint(guards_of(stage, has_hold_back=has_hold_back))
