"""The freshness of an entry: as questions to its table, and as the console shows it."""

from datetime import datetime

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.safestring import SafeString

from core.console.badges import mark

STATES = {
    "fresh": Q(soft_expires_at__gt=Now()),
    "due": Q(soft_expires_at__lte=Now(), expires_at__gt=Now()),
    "stale": Q(expires_at__lte=Now()),
}


FRESHNESS = {
    "fresh": ("green", "●", "fresh"),
    "due": ("orange", "◑", "to be refreshed"),
    "stale": ("red", "○", "stale"),
}


def freshness(soft_expires_at: datetime, expires_at: datetime) -> SafeString:
    now = timezone.now()
    return mark(*FRESHNESS["fresh" if now < soft_expires_at else "due" if now < expires_at else "stale"])
