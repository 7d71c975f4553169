"""Tables of the providers app."""

from providers.models.fleet import (
    CONFIGURATION,
    COUNTERS,
    FetchAttempt,
    PollSlot,
    Provider,
    ProviderState,
    ProviderStateQuerySet,
    Sport,
    StatusChange,
)
from providers.models.lines import Event, PropLine

__all__ = [
    "CONFIGURATION",
    "COUNTERS",
    "Event",
    "FetchAttempt",
    "PollSlot",
    "PropLine",
    "Provider",
    "ProviderState",
    "ProviderStateQuerySet",
    "Sport",
    "StatusChange",
]
