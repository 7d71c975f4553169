"""A process's line to Redis: it hears there which keys others changed, and knows when it may have missed some.

While the line is down nobody asks Redis: what lies there may be outdated by the time it is back. Only this thread tries
again, so that no reader ever waits for an outage. What could not be told is told once the line is up again.
"""

import os
import threading
import time
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import orjson
import redis
import structlog

from core.redis import key, listening_client

FAILURES = 3  # in a row; then Redis is left alone until it answers this thread
BEAT_SECONDS = 1.0  # without an answer for as long, the line is down
RECONNECT_SECONDS = 0.2
FIRST_SECONDS = 0.25  # a writer waits for the first connection at most
RUN_DIGITS = 12
MOST_UNSENT = 10_000  # keys of a space; beyond that all of them are meant
log = structlog.get_logger("slipway.caching")


class Space(Protocol):
    """Who is told of keys; none means all of them."""

    def told(self, keys: Sequence[str], run: str) -> None:
        """They changed somewhere, as told by who reads what Redis has of this run."""

    def lost(self) -> None:
        """Changes may have been missed."""

    def resend(self, keys: Sequence[str]) -> None:
        """Announce them again. Raises redis.RedisError."""


class Link:
    """`run`: of the Redis server whose values may be read; empty while the line is down. It is part of their names:
    what an earlier life of the server kept, writes of the outage are missing in it, is never read.
    """

    def __init__(self) -> None:
        self.run = ""
        self._spaces: dict[str, Space] = {}
        self.begin_again()
        os.register_at_fork(after_in_child=self.begin_again)

    def begin_again(self) -> None:
        """In a fork too, where the thread does not live on, and what is unsent is the parent's to send."""
        self.run, self._failures = "", 0
        self._thread: threading.Thread | None = None
        self._tried, self._lock = threading.Event(), threading.Lock()
        self._unsent: dict[str, set[str]] = {}

    def serve(self, name: str, space: Space) -> None:
        self._spaces[name] = space

    @property
    def is_up(self) -> bool:
        if self._thread is None:
            self._start()
        return bool(self.run) and self._failures < FAILURES

    def failed(self) -> None:
        self._failures += 1

    def worked(self) -> None:
        if self._failures:
            self._failures = 0

    def wait(self) -> bool:
        """For the first connection, where there was no time for one yet."""
        if not self.is_up:
            self._tried.wait(FIRST_SECONDS)
        return self.is_up

    def unsent(self, name: str, keys: Sequence[str]) -> None:
        """Redis did not take this announcement."""
        with self._lock:
            unsent = self._unsent.setdefault(name, set())
            unsent.update(keys or [""])
            if len(unsent) > MOST_UNSENT:
                self._unsent[name] = {""}

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
            except Exception:  # whatever it is: what this process holds may be outdated from now on
                log.exception("the line to Redis broke")
            was_up, self.run = bool(self.run), ""
            self._tried.set()
            for space in self._spaces.values() if was_up else ():
                space.lost()
            time.sleep(RECONNECT_SECONDS)

    def _listen(self) -> None:
        """Returns, or raises redis.RedisError, when the line is down."""
        with listening_client() as connection, connection.pubsub() as line:
            line.subscribe(key("derived"))
            if line.get_message(timeout=BEAT_SECONDS) is None:
                return
            self._failures = FAILURES  # not up before what was missed is told
            self.run = str(connection.info("server")["run_id"])[:RUN_DIGITS]
            self._send_unsent()
            self._failures = 0
            self._tried.set()
            is_asked, beat_at = False, time.monotonic() + BEAT_SECONDS
            while True:
                message = line.get_message(timeout=max(0.0, beat_at - time.monotonic()))
                is_asked = is_asked and message is None
                if message and message["type"] == "message":
                    name, keys, run = orjson.loads(message["data"])
                    if name in self._spaces:
                        self._spaces[name].told(keys, run)
                if time.monotonic() >= beat_at:
                    if is_asked:
                        return
                    line.ping()
                    self._send_unsent()
                    self._failures = 0
                    is_asked, beat_at = True, time.monotonic() + BEAT_SECONDS

    def _send_unsent(self) -> None:
        """Raises redis.RedisError; what was not sent stays for the next time."""
        while self._unsent:
            with self._lock:
                name, keys = self._unsent.popitem()
            try:
                self._spaces[name].resend([] if "" in keys else sorted(keys))
            except redis.RedisError:
                self.unsent(name, [] if "" in keys else sorted(keys))
                raise


@cache
def own_link() -> Link:
    """This process's."""
    return Link()
