"""A derived value for whoever asks: from the tiers, or computed where it is missing or due.

One caller computes a key, in all processes together: in a process the first one does, between processes whoever has the
target's lease. The others get what there is, and where there is nothing they wait for it.
"""

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from time import sleep as pause

from django.db import Error

from caching.choices import Outcome, State, Tier
from caching.derivations.result import TooFewGames, encode
from caching.models import CacheTarget
from caching.tiers import database_clock, entries
from caching.tiers.entries import Key
from caching.tiers.records import Found, Record
from caching.warming.compute import compute
from caching.warming.leases import Warmed
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from core.errors import Refused, SlipwayError

WAIT_SECONDS = 10.0  # for another's computation
LOOK_SECONDS = 0.05
HOLD_SECONDS = 30.0  # after a refresh that failed, the workers try again first


class NoTarget(SlipwayError):
    """Nobody keeps this key warm, and so nothing tells what to compute."""


class CannotCompute(SlipwayError):
    """There is no value, and none can be computed."""


@dataclass(frozen=True, slots=True)
class Served:
    found: Found
    is_computed: bool  # for this answer; else it comes from the cache

    def __repr__(self) -> str:
        """Its payload, for whoever reads of a mismatch."""
        return self.found.record.data.decode()


@dataclass(slots=True)
class Flights:
    """What is being computed in this process, and what it holds back from refreshing, until when."""

    under_way: "dict[str, Future[Served]]" = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def begin_again(self) -> None:
        """In a fork, where nobody would end them."""
        self.under_way, self.lock = {}, Lock()


_flights = Flights()
os.register_at_fork(after_in_child=_flights.begin_again)


def serve(key: Key) -> Served:
    """Fresh, or stale and says so. Raises NoTarget, CannotCompute; django.db.Error where it needs PostgreSQL."""
    found = entries.get(key)
    if found.state is State.MISSING:
        return _together(str(key), lambda: _computed(key), lambda: compute_fresh(key))
    if found.is_due and time.monotonic() >= _flights.held.get(str(key), 0.0):
        return _if_first(str(key), lambda: _refreshed(key, found)) or Served(found, is_computed=False)
    return Served(found, is_computed=False)


def compute_fresh(key: Key) -> Served:
    """Computed from the stored box scores, once for all who ask in this process meanwhile, and kept nowhere. Raises as
    `serve`.
    """
    return _together(f"fresh {key}", lambda: _fresh(key), lambda: _fresh(key))


def _fresh(key: Key) -> Served:
    target, start = _target(key), database_clock.now()
    try:
        computed = compute(target)
        data = encode(computed.payload)
    except (TooFewGames, ValueError, SlipwayError) as error:
        raise CannotCompute(
            f"{key} cannot be computed: {error}", "import box scores: manage.py import_game_logs"
        ) from error
    record = Record(data, 0, made_at=start, confidence=computed.confidence, digest=hashlib.sha256(data).digest())
    return Served(Found(State.FRESH, Tier.MISS, record, 0.0, is_due=False), is_computed=True)


def _together(name: str, work: Callable[[], Served], otherwise: Callable[[], Served]) -> Served:
    """Do the work, or wait for who is at it in this process; where that takes too long, do otherwise."""
    flight, is_first = _board(name)
    if is_first:
        return _fly(name, flight, work)
    try:
        return flight.result(WAIT_SECONDS)
    except TimeoutError:
        return otherwise()


def _if_first(name: str, work: Callable[[], Served]) -> Served | None:
    """Do the work, unless somebody in this process is at it."""
    flight, is_first = _board(name)
    return _fly(name, flight, work) if is_first else None


def _board(name: str) -> "tuple[Future[Served], bool]":
    with _flights.lock:
        flight = _flights.under_way.get(name)
        if flight is not None:
            return flight, False
        flight = _flights.under_way[name] = Future()
        return flight, True


def _fly(name: str, flight: "Future[Served]", work: Callable[[], Served]) -> Served:
    try:
        served = work()
        flight.set_result(served)
        return served
    except BaseException as error:
        flight.set_exception(error)
        raise
    finally:
        with _flights.lock:
            _flights.under_way.pop(name, None)


def _computed(key: Key) -> Served:
    """Of a key that is missing: by this caller, or by whoever has the lease."""
    target, deadline = _target(key), time.monotonic() + WAIT_SECONDS
    while True:
        try:
            [done] = warm([target], actor=SYSTEM)
        except Refused:  # warming is switched off: nothing is to be written
            return compute_fresh(key)
        if done.outcome == Outcome.FAILED:
            raise CannotCompute(f"{key} cannot be computed: {done.problem}", "see its target's page")
        if done.outcome != Outcome.BUSY and (served := _served(key, done)):
            return served
        if time.monotonic() > deadline or done.outcome == Outcome.OFF:
            return compute_fresh(key)
        pause(LOOK_SECONDS)


def _served(key: Key, done: Warmed) -> Served | None:
    if done.record is not None:
        now = database_clock.now()
        return Served(Found(done.record.state(now), Tier.MISS, done.record, 0.0, is_due=False), is_computed=True)
    found = entries.get(key)
    return None if found.state is State.MISSING else Served(found, is_computed=False)


def _refreshed(key: Key, found: Found) -> Served:
    """The new value; the old one where there is none to be had."""
    with suppress(SlipwayError, Error):
        [done] = warm([_target(key)], actor=SYSTEM)
        if done.outcome not in (Outcome.FAILED, Outcome.BUSY) and (served := _served(key, done)):
            _flights.held.pop(str(key), None)
            return served
    _flights.held[str(key)] = time.monotonic() + HOLD_SECONDS
    return Served(found, is_computed=False)


def _target(key: Key) -> CacheTarget:
    try:
        return CacheTarget.objects.get(cache_type=key.cache_type, sport=key.sport, subject=key.subject, is_enabled=True)
    except CacheTarget.DoesNotExist:
        raise NoTarget(f"nothing keeps {key} warm", "add it in the admin, under Caches, Targets") from None
