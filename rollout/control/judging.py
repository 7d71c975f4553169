"""The assessment of a rollout for an operator, who must not be kept from acting by what cannot be judged."""

from core.db.lock_wait import short_lock_waits
from core.errors import first_line
from core.redaction import redact
from rollout.control.assessment import Assessment, assess
from rollout.models import Rollout, StagePolicy


class CannotJudge(Exception):
    """The rollout cannot be judged now. The message is the cause, without secrets."""


def judge(rollout: Rollout) -> Assessment:
    """Return the assessment of a rollout that is not disabled.

    Raises CannotJudge if its policy is missing or broken, if a table is locked, or if the code of an app fails.
    """
    try:
        with short_lock_waits():
            return assess(rollout)
    except StagePolicy.DoesNotExist:
        raise CannotJudge(f"it has no policy for {rollout.stage}") from None
    except Exception as error:
        raise CannotJudge(redact(first_line(error, type(error).__name__))) from error
