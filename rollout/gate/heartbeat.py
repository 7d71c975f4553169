"""The heartbeat of the control loop: each tick sets a key in Redis that expires. Without it gates answer control."""

import time
from contextlib import suppress
from dataclasses import dataclass, field

import redis

from core import clock_skew
from core.notices.notify import Event, notify
from core.redis import client, key

FADES_AFTER_SECONDS = 30  # six ticks
CLOCK_SKEW_SECONDS = 10.0  # between two measurements of this process's clock
REMIND_AFTER_SECONDS = 86400  # a loss that no process saw end is notified again after a day


def beat() -> None:
    """Record that the control loop ticks. Raises redis.RedisError."""
    with client().pipeline(transaction=False) as pipeline:
        pipeline.set(key("heartbeat"), 1, ex=FADES_AFTER_SECONDS)
        pipeline.set(key("heartbeat-at"), time.time())
        pipeline.execute()
    clock_skew.publish_skew()


def is_fresh() -> bool:
    """Return whether the control loop ticked within the last 30 s. Raises redis.RedisError."""
    return bool(client().exists(key("heartbeat")))


def last_beat_at() -> float | None:
    """Return when the control loop last ticked, in Unix time by its own clock; None if it never did.

    Raises redis.RedisError.
    """
    ticked_at: bytes | None = client().get(key("heartbeat-at"))  # type: ignore[assignment]
    return None if ticked_at is None else float(ticked_at)


@dataclass(slots=True)
class HeartbeatMonitor:
    """A check of the heartbeat that one process makes again and again.

    The first process that sees the heartbeat stop or come back notifies the operators; the others do not. A process
    that has just started waits as long as the heartbeat lasts before it reports a loss, because the workers may only be
    starting too.
    """

    started_at: float = field(default_factory=time.monotonic)
    was_fresh: bool = False
    has_reported_loss: bool = False
    skew_published_at: float = -CLOCK_SKEW_SECONDS

    def check(self) -> bool:
        """Return whether the heartbeat is fresh; notify operators of a change. Raises redis.RedisError."""
        fresh = is_fresh()
        if fresh and not self.was_fresh:
            self._report_return()
        has_waited = self.was_fresh or time.monotonic() - self.started_at > FADES_AFTER_SECONDS
        if not fresh and has_waited and not self.has_reported_loss:
            self._report_loss()
        self.was_fresh = fresh
        self._publish_clock_skew()
        return fresh

    def _report_return(self) -> None:
        self.has_reported_loss = False
        if client().delete(key("heartbeat-lost")):
            notify(Event("beat_back", "rollout.tick", "the control loop ticks again: gates serve their stages"))

    def _report_loss(self) -> None:
        self.has_reported_loss = True
        if client().set(key("heartbeat-lost"), 1, nx=True, ex=REMIND_AFTER_SECONDS):
            loss = f"no tick of the control loop for {FADES_AFTER_SECONDS} s: gates answer control"
            notify(Event("beat_lost", "rollout.tick", f"{loss}; check beat and the workers of the queue control"))

    def _publish_clock_skew(self) -> None:
        if time.monotonic() - self.skew_published_at < CLOCK_SKEW_SECONDS:
            return
        with suppress(redis.RedisError):
            clock_skew.publish_skew()
        self.skew_published_at = time.monotonic()
