"""Background tasks, sent by their names: the sender imports neither the task nor Celery."""

from typing import Protocol


class Send(Protocol):
    """The function that hands a task to the broker."""

    def __call__(self, name: str, args: tuple[object, ...], expires_seconds: float | None) -> bool:
        """Return whether the broker took the task. If the broker does not answer, return False instead of waiting."""


_senders: list[Send] = []


def send_with(send: Send) -> None:
    """Register the function that sends this process's tasks, instead of an earlier one."""
    _senders[:] = [send]


def enqueue(name: str, *args: object, expires_seconds: float | None = None) -> bool:
    """Ask a worker to run the task now. Return whether the broker took it.

    If the broker did not take it, or this process has no Celery application, the task's schedule does the work later.

    expires_seconds: a worker drops the task if it has not started by then; None keeps it.
    """
    return bool(_senders) and _senders[0](name, args, expires_seconds)
