"""The freshness of an entry: as conditions on its table, and as the console shows it."""

from datetime import datetime

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.safestring import SafeString

from core.choices import StyledChoices
from core.console.badges import badge


class Freshness(StyledChoices):
    """The three periods in an entry's life."""

    FRESH = "fresh", "●", "green", "fresh"
    DUE = "due", "◑", "orange", "to be refreshed"
    STALE = "stale", "○", "red", "stale"


CONDITIONS = {
    Freshness.FRESH: Q(soft_expires_at__gt=Now()),
    Freshness.DUE: Q(soft_expires_at__lte=Now(), expires_at__gt=Now()),
    Freshness.STALE: Q(expires_at__lte=Now()),
}
# An index finds these two cheaply, because they are few, in a table of any size.
CHEAP_TO_COUNT = (Freshness.DUE, Freshness.STALE)


def freshness_of(soft_expires_at: datetime, expires_at: datetime) -> Freshness:
    """Return the freshness at this moment of an entry with these times."""
    now = timezone.now()
    if now < soft_expires_at:
        return Freshness.FRESH
    return Freshness.DUE if now < expires_at else Freshness.STALE


def freshness_badge(soft_expires_at: datetime, expires_at: datetime) -> SafeString:
    """Return the freshness of an entry with these times as symbol, color and word."""
    return badge(freshness_of(soft_expires_at, expires_at))
