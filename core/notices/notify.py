"""The one place that notifies operators: call `notify(Event(...))` once per change.

Each event is logged here. Further channels, such as those of `core/notices/channels.py`, are registered with
`deliver_with`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

log = structlog.get_logger("slipway.notify")


@dataclass(frozen=True, slots=True)
class Event:
    """A change that operators are notified of.

    kind: what happened, for example `provider_status`.
    subject: the object that it happened to, for example `draftkings NBA`.
    message: one sentence for an operator.
    details: further fields of the log record and of the webhook's document.
    """

    kind: str
    subject: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


Channel = Callable[[Event], None]
_channels: list[Channel] = []


def deliver_with(channel: Channel) -> None:
    """Register a channel that is called with every event of this process."""
    _channels.append(channel)


@contextmanager
def deliver_only_with(*channels: Channel) -> Iterator[None]:
    """Replace the registered channels with these within the block, so that a test can read what was notified."""
    registered = list(_channels)
    _channels[:] = channels
    try:
        yield
    finally:
        _channels[:] = registered


def notify(event: Event) -> None:
    """Log the event and call every channel. A failing channel is logged and stops neither the others nor the caller."""
    log.warning(event.message, kind=event.kind, subject=event.subject, **event.details)
    for channel in _channels:
        try:
            channel(event)
        except Exception:
            log.exception("a channel failed", kind=event.kind, subject=event.subject)
