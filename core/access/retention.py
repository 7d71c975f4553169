"""The retention of what Django and django-axes store about signing in."""

from axes.models import AccessAttempt
from django.contrib.sessions.models import Session

from core.db import batches

ATTEMPTS_KEPT_DAYS = 30


def prune_sign_ins() -> int:
    """Delete old failed sign-ins and expired sessions. Return how many rows were deleted."""
    return batches.prune([(AccessAttempt, "attempt_time", ATTEMPTS_KEPT_DAYS), (Session, "expire_date", 0)])
