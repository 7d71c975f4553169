"""The tables of the providers app."""

from providers.models.fleet import (
    CONFIGURATION,
    COUNTERS,
    FetchAttempt,
    FleetAlert,
    PollSlot,
    Provider,
    ProviderState,
    ProviderStateQuerySet,
    Sport,
    StatusChange,
)
from providers.models.gamelogs import GameLog, GameLogUpload, UploadedPart
from providers.models.lines import Event, PriceMove, PropLine

__all__ = [
    "CONFIGURATION",
    "COUNTERS",
    "Event",
    "FetchAttempt",
    "FleetAlert",
    "GameLog",
    "GameLogUpload",
    "PollSlot",
    "PriceMove",
    "PropLine",
    "Provider",
    "ProviderState",
    "ProviderStateQuerySet",
    "Sport",
    "StatusChange",
    "UploadedPart",
]
