"""The one place that tells people: `notify(Event(...))`, once per change.

Here it writes to the log; further channels (`rollout/channels.py`) come by `deliver_with`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

log = structlog.get_logger("slipway.notify")


@dataclass(frozen=True, slots=True)
class Event:
    kind: str  # what happened, as `provider_status`
    subject: str  # to what, as `draftkings NBA`
    message: str  # one sentence for a person
    details: dict[str, Any] = field(default_factory=dict)


_channels: list[Callable[[Event], None]] = []


def deliver_with(channel: Callable[[Event], None]) -> None:
    _channels.append(channel)


def notify(event: Event) -> None:
    """Tell every channel. A channel that fails is logged and stops neither the others nor the caller."""
    log.warning(event.message, kind=event.kind, subject=event.subject, **event.details)
    for channel in _channels:
        try:
            channel(event)
        except Exception:
            log.exception("a channel failed", kind=event.kind, subject=event.subject)
