"""A process's subscription to changes: which keys other processes changed, and whether it may have missed some.

While the subscription is down, no reader asks Redis: after an outage its values may be outdated. Only the
subscription's thread reconnects, so no reader waits. Announcements that could not be sent are sent when the
subscription is up again.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson
import redis
import structlog

from core.process.per_process import PerProcess
from core.redis import key, listening_client

FAILURES_AT_MOST = 3  # in a row; after them no reader asks Redis until Redis answers the subscription's thread
PING_SECONDS = 1.0  # without an answer for this long, the subscription counts as down
RECONNECT_SECONDS = 0.2
FIRST_CONNECTION_SECONDS = 0.25  # a writer waits at most this long for the first connection
RUN_ID_DIGITS = 12
UNSENT_AT_MOST = 10_000  # keys of a space; if there are more, all its keys are announced
ALL_KEYS = ""  # takes the place of the keys in an unsent announcement that means all of them
log = structlog.get_logger("slipway.caching")


class Space(Protocol):
    """A set of keys whose changes are announced under the space's name. An empty list of keys means all of them."""

    def on_changed(self, keys: Sequence[str], run_id: str) -> None:
        """Drop the keys. run_id: the Redis run whose values the writer used."""

    def on_missed(self) -> None:
        """Drop everything, because changes may have been missed."""

    def drop_and_announce(self, keys: Sequence[str]) -> None:
        """Drop the keys from Redis, and announce them. Raise redis.RedisError if Redis does not answer."""


class Subscription:
    """A subscription with its thread, which starts with the first use.

    run_id: the run of the Redis server whose values may be read; empty while the subscription is down. The run is part
    of the values' names in Redis. The values of an earlier run lack the writes of the outage, so they are never read.
    unsent: the keys of each space whose announcement Redis did not take.
    """

    def __init__(self, spaces: Mapping[str, Space]) -> None:
        self.run_id = ""
        self.unsent: dict[str, set[str]] = {}
        self._spaces = spaces
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._has_tried = threading.Event()
        self._lock = threading.Lock()

    @property
    def is_up(self) -> bool:
        """Whether Redis may be asked: the subscription is up, and the last few calls did not all fail."""
        if self._thread is None:
            self._start()
        return bool(self.run_id) and self._failures < FAILURES_AT_MOST

    def count_failure(self) -> None:
        """Count a call that Redis did not answer."""
        self._failures += 1

    def reset_failures(self) -> None:
        """Forget the failures, because Redis answered a call."""
        if self._failures:
            self._failures = 0

    def wait_until_up(self) -> bool:
        """Return whether the subscription is up, after the first attempt to connect. Do not wait for later attempts."""
        if not self.is_up:
            self._has_tried.wait(FIRST_CONNECTION_SECONDS)
        return self.is_up

    def keep_unsent(self, space: str, keys: Sequence[str]) -> None:
        """Keep an announcement that Redis did not take, and send it when the subscription is up again."""
        with self._lock:
            unsent = self.unsent.setdefault(space, set())
            unsent.update(keys or [ALL_KEYS])
            if len(unsent) > UNSENT_AT_MOST:
                self.unsent[space] = {ALL_KEYS}

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="slipway-cache", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._listen()
            except (redis.RedisError, OSError):
                pass
            except Exception:  # an unknown error too: from now on the values of this process may be outdated
                log.exception("the subscription to Redis broke")
            was_up = bool(self.run_id)
            self.run_id = ""
            self._has_tried.set()
            if was_up:
                for space in self._spaces.values():
                    space.on_missed()
            time.sleep(RECONNECT_SECONDS)

    def _listen(self) -> None:
        """Receive messages until the subscription is down. Then return, or raise redis.RedisError."""
        with listening_client() as connection, connection.pubsub() as pubsub:
            pubsub.subscribe(key("derived"))
            if pubsub.get_message(timeout=PING_SECONDS) is None:
                return
            self._failures = FAILURES_AT_MOST  # it is not up before the unsent announcements are sent
            self.run_id = str(connection.info("server")["run_id"])[:RUN_ID_DIGITS]
            self._send_unsent()
            self._failures = 0
            self._has_tried.set()
            is_ping_unanswered, ping_at = False, time.monotonic() + PING_SECONDS
            while True:
                message = pubsub.get_message(timeout=max(0.0, ping_at - time.monotonic()))
                if message is not None:  # Redis answers this thread, so readers may ask it again
                    is_ping_unanswered = False
                    self._send_unsent()
                    self._failures = 0
                    self._receive(message)
                if time.monotonic() >= ping_at:
                    if is_ping_unanswered:
                        return
                    pubsub.ping()
                    is_ping_unanswered, ping_at = True, time.monotonic() + PING_SECONDS

    def _receive(self, message: Mapping[str, Any]) -> None:
        if message["type"] != "message":  # the answer to a ping
            return
        name, keys, run_id = orjson.loads(message["data"])
        if name in self._spaces:
            self._spaces[name].on_changed(keys, run_id)

    def _send_unsent(self) -> None:
        """Send the unsent announcements. Raise redis.RedisError; what was not sent is kept."""
        while self.unsent:
            with self._lock:
                name, unsent = self.unsent.popitem()
            keys = [] if ALL_KEYS in unsent else sorted(unsent)
            try:
                self._spaces[name].drop_and_announce(keys)
            except redis.RedisError:
                self.keep_unsent(name, keys)
                raise


class Channel:
    """The spaces whose changes are announced together, and each process's subscription to them.

    A fork subscribes on its first use; its parent sends what the parent could not send.
    """

    def __init__(self) -> None:
        self._spaces: dict[str, Space] = {}
        self._subscription = PerProcess(self._subscribe)

    @property
    def subscription(self) -> Subscription:
        """The subscription of this process."""
        return self._subscription()

    def register(self, name: str, space: Space) -> None:
        """Pass the changes that are announced under this name to the space."""
        self._spaces[name] = space

    def _subscribe(self) -> Subscription:
        return Subscription(self._spaces)


CHANNEL = Channel()
