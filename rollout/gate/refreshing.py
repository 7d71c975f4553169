"""The two threads that keep a process's states of the rollouts current.

One listens to Redis and reads the marks there, the other reads PostgreSQL. So a trip takes effect at once while a query
hangs.
"""

import threading
import time
from collections.abc import Callable

import redis
import structlog
from django.db import connection

from core.redis import key, listening_client
from rollout.gate.state import RolloutStates

REFRESH_SECONDS = 1.0
log = structlog.get_logger("slipway.gate")


class RefreshThreads:
    """The threads that refresh these states.

    is_over: returns whether the threads should end by themselves; then every gate answers control.
    has_refreshed: is set after the first refresh.
    """

    def __init__(self, states: RolloutStates, is_over: Callable[[], bool] = lambda: False) -> None:
        self._states, self._is_over = states, is_over
        self._has_changed = threading.Event()  # PostgreSQL should be read now
        self._is_stopped = False
        self.has_refreshed = threading.Event()
        runs = (self._listen, self._read)
        self._threads = [threading.Thread(target=run, name="slipway-gate", daemon=True) for run in runs]

    def start(self) -> None:
        """Begin the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, and return when they have ended."""
        self._is_stopped = True
        self._has_changed.set()
        for thread in self._threads:
            thread.join()

    def _has_ended(self) -> bool:
        return self._is_stopped or self._is_over()

    def _listen(self) -> None:
        """Read the marks every second, and act on each message at once."""
        while not self._has_ended():
            try:
                self._states.refresh_marks()
                with listening_client() as redis_client, redis_client.pubsub() as subscription:
                    subscription.subscribe(key("rollouts"))
                    while not self._has_ended():
                        self._states.refresh_marks()
                        message = subscription.get_message(timeout=REFRESH_SECONDS)
                        if message is not None and message["type"] == "message":
                            self._states.act_on(message["data"])
                            self._has_changed.set()
            except (redis.RedisError, OSError):
                time.sleep(REFRESH_SECONDS)
            except Exception:  # the next reading is a second away, and gates whose states are too old serve control
                log.exception("cannot read the marks of the rollouts; gates answer control if this lasts 30 s")
                time.sleep(REFRESH_SECONDS)

    def _read(self) -> None:
        """Read PostgreSQL every second, and when a message reports a change."""
        while not self._has_ended():
            self._has_changed.clear()
            try:
                connection.close_if_unusable_or_obsolete()
                self._states.refresh_rows()
                self.has_refreshed.set()
            except Exception:  # the next refresh is a second away, and gates whose states are too old serve control
                log.exception("cannot refresh the states of the rollouts; gates answer control if this lasts 30 s")
            self._has_changed.wait(REFRESH_SECONDS)
        self._states.expire()
        connection.close()
