"""The states of an entry, as questions to the table."""

from django.db.models import Q
from django.db.models.functions import Now

STATES = {
    "fresh": Q(soft_expires_at__gt=Now()),
    "due": Q(soft_expires_at__lte=Now(), expires_at__gt=Now()),
    "stale": Q(expires_at__lte=Now()),
}
