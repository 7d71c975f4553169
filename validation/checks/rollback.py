"""What holds after a rollback, whichever level it was."""

from rollout import metrics
from rollout.choices import Stage
from rollout.criteria import Finding, Suite, View, check, judged
from rollout.models import Rollout
from validation.checks.needs import needing_redis

CATEGORY = "rollouts"
ABORT = "run: manage.py rollout abort NAME"


@check("no_rollout_past_disabled", CATEGORY, Suite.POST_ROLLBACK)
def no_rollout_past_disabled(view: View) -> Finding:
    past = [f"{each}: {each.stage}" for each in Rollout.objects.exclude(stage=Stage.DISABLED).order_by("name")]
    said = f"{len(past)} rollouts are past DISABLED" if past else "every rollout is disabled"
    return judged(not past, f"{len(past)} rollouts", "0 rollouts", said, remedy=ABORT, offending=past)


@check("no_trip_pending", CATEGORY, Suite.POST_ROLLBACK)
def no_trip_pending(view: View) -> Finding:
    """A fall that no transition has written down."""
    rollouts = Rollout.objects.exclude(stage=Stage.DISABLED)
    with needing_redis():
        fell = [each.name for each in rollouts if metrics.fell(each.name, each.settled_epoch)]
    said = f"{len(fell)} falls are not written down" if fell else "every fall is written down"
    remedy = "see that beat and the workers of the queue control run"
    return judged(not fell, f"{len(fell)} rollouts", "0 rollouts", said, remedy=remedy, offending=fell)
