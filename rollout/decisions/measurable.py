"""Whether a stage could ever be judged: without a guard that is measured, a rollout would stay in it forever. Pure."""

from collections.abc import Set

from rollout.choices import Guard, Stage
from rollout.decisions.guards import GUARDS_BY_STAGE


def is_measurable(stage: Stage, binding: Set[Guard]) -> bool:
    """Return whether a guard of this stage could ever pass or be violated.

    binding: the stage's guards that are switched on and have a consequence. FEED_HEALTH does not count, because it
        measures the feeds and not the candidate, and neither does a guard that the stage does not judge.
    """
    return not binding.isdisjoint(set(GUARDS_BY_STAGE[stage]) - {Guard.FEED_HEALTH})
