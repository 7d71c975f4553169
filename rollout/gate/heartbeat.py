"""Whether the control loop ticks: each tick leaves a mark in Redis that fades. Without it gates answer control."""

import time
from contextlib import suppress
from dataclasses import dataclass, field

import redis

from core import clock_skew
from core.notices.notify import Event, notify
from core.redis import client, key

FADES_AFTER_SECONDS = 30  # six ticks
CLOCK_SECONDS = 10.0
TOLD_SECONDS = 86400  # one that nobody saw come back is told of again a day later


def beat() -> None:
    """Raises redis.RedisError."""
    client().set(key("heartbeat"), 1, ex=FADES_AFTER_SECONDS)
    clock_skew.tell()


def is_fresh() -> bool:
    return bool(client().exists(key("heartbeat")))


@dataclass(slots=True)
class Pulse:
    """One process looking again and again. Whoever sees it stop, or come back, first of all processes tells people.

    Right after a start nobody is told: the workers may only be starting too.
    """

    started_at: float = field(default_factory=time.monotonic)
    was_fresh: bool = False
    has_told: bool = False
    clock_told_at: float = -CLOCK_SECONDS

    def look(self) -> bool:
        """Raises redis.RedisError."""
        fresh = is_fresh()
        if fresh and not self.was_fresh:
            self.has_told = False
            if client().delete(key("heartbeat-lost")):
                notify(Event("beat_back", "rollout.tick", "the control loop ticks again: gates serve their stages"))
        is_late = self.was_fresh or time.monotonic() - self.started_at > FADES_AFTER_SECONDS
        if not fresh and not self.has_told and is_late:
            self.has_told = True
            if client().set(key("heartbeat-lost"), 1, nx=True, ex=TOLD_SECONDS):
                lost = f"no tick of the control loop for {FADES_AFTER_SECONDS} s"
                notify(Event("beat_lost", "rollout.tick", f"{lost}: gates serve control; look at beat and workers"))
        self.was_fresh = fresh
        if time.monotonic() - self.clock_told_at >= CLOCK_SECONDS:
            with suppress(redis.RedisError):
                clock_skew.tell()
            self.clock_told_at = time.monotonic()
        return fresh
