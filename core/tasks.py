"""Sending a background task by its name, so that the sender imports neither the task nor Celery."""

from typing import Protocol


class Send(Protocol):
    """The function that hands a task to the broker."""

    def __call__(self, name: str, args: tuple[object, ...], expires_seconds: float | None) -> bool:
        """Return whether the broker took the task. It raises nothing and waits for no outage."""


_senders: list[Send] = []


def send_with(send: Send) -> None:
    """Register the function that sends tasks in this process; config/celery.py does so."""
    _senders[:] = [send]


def enqueue(name: str, *args: object, expires_seconds: float | None = None) -> bool:
    """Ask a worker to run the task now. Return whether the broker took it.

    If it did not, or if this process has no Celery application, the task's own schedule finds the work later.

    expires_seconds: a worker drops the task if it has not begun by then; None keeps it.
    """
    return bool(_senders) and _senders[0](name, args, expires_seconds)
