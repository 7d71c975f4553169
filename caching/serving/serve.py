"""Serving a derived value: from the tiers, or computed if it is missing or due.

A single caller among all processes computes a key: the first one of its process, if it claims the target's lease. The
others get the current value. If there is none, they wait for the computation.
"""

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import sleep as pause  # under a name of this module, so that a test can take its place here alone

from django.db import Error

from caching.choices import Tier, ValueState, WarmOutcome
from caching.derivations.result import TooFewGames, encode_payload
from caching.models import CacheTarget
from caching.serving.single_flight import SingleFlight
from caching.tiers import database_clock
from caching.tiers.entries import Key, get_entry
from caching.tiers.records import Lookup, Record
from caching.warming.compute import compute
from caching.warming.results import WarmResult
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from core.errors import Refused, SlipwayError
from core.process.per_process import PerProcess
from rollout.decisions.stages import Arm

WAIT_SECONDS = 10.0  # for the computation of another caller
LOOK_SECONDS = 0.05  # between two looks whether another process has computed the value
BACKOFF_SECONDS = 30.0  # after a refresh that failed; the workers, which refresh what is due, try again earlier


class NoTarget(SlipwayError):
    """The key has no enabled target, which would define what to compute."""


class CannotCompute(SlipwayError):
    """There is no value, and none can be computed."""


@dataclass(frozen=True, slots=True)
class Served:
    """The value that is served.

    is_computed: it was computed for this answer, and not read from the cache.
    arm: the arm of the rollout that served it.
    """

    lookup: Lookup
    is_computed: bool
    arm: Arm = Arm.CONTROL

    @property
    def source(self) -> str:
        """The tier that the value was read from, or "computed"."""
        return "computed" if self.is_computed else self.lookup.tier.value

    def __repr__(self) -> str:
        """Return the payload, which is what the report of a mismatch shows."""
        return self.lookup.record.data.decode()


@dataclass(slots=True)
class RefreshBackoff:
    """The keys whose refresh failed, and until when no caller of this process tries again (by time.monotonic())."""

    _until: dict[str, float] = field(default_factory=dict)

    def is_over(self, key: Key) -> bool:
        return time.monotonic() >= self._until.get(str(key), 0.0)

    def begin(self, key: Key) -> None:
        self._until[str(key)] = time.monotonic() + BACKOFF_SECONDS

    def end(self, key: Key) -> None:
        self._until.pop(str(key), None)

    def clear(self) -> None:
        self._until.clear()


# A fork starts with no computation under way, because its parent's threads, which would end them, do not live on.
flights: PerProcess[SingleFlight[Served]] = PerProcess(SingleFlight)
# A fork keeps what its parent learned about failing refreshes.
refresh_backoff = RefreshBackoff()


def serve(key: Key) -> Served:
    """Return the value, fresh or stale.

    Raise NoTarget, CannotCompute, or django.db.Error if PostgreSQL is needed and does not answer.
    """
    lookup = get_entry(key)
    if lookup.state is ValueState.MISSING:
        return flights().share(
            str(key),
            partial(_compute_missing, key),
            wait_seconds=WAIT_SECONDS,
            otherwise=partial(compute_fresh, key),
        )
    if lookup.is_due and refresh_backoff.is_over(key):
        refreshed = flights().run_if_first(str(key), partial(_refresh, key, lookup))
        if refreshed is not None:
            return refreshed
    return Served(lookup, is_computed=False)


def compute_fresh(key: Key) -> Served:
    """Compute the value from the stored box scores, and store it nowhere.

    Callers that ask for the key during the computation share it. Raise the same errors as `serve`.
    """
    compute_now = partial(_compute_unstored, key)
    return flights().share(f"fresh {key}", compute_now, wait_seconds=WAIT_SECONDS, otherwise=compute_now)


def _compute_unstored(key: Key) -> Served:
    target, start = _target_of(key), database_clock.now()
    try:
        computed = compute(target)
        data = encode_payload(computed.payload)
    except (TooFewGames, ValueError, SlipwayError) as error:
        raise CannotCompute(
            f"cannot compute {key}: {error}", "import box scores: manage.py import_game_logs"
        ) from error
    record = Record(data, 0, made_at=start, confidence=computed.confidence, digest=hashlib.sha256(data).digest())
    return Served(Lookup(ValueState.FRESH, Tier.MISS, record, 0.0, is_due=False), is_computed=True)


def _compute_missing(key: Key) -> Served:
    """Compute and store a missing value, or wait for the process that holds the target's lease."""
    target, deadline = _target_of(key), time.monotonic() + WAIT_SECONDS
    while True:
        try:
            [result] = warm([target], actor=SYSTEM)
        except Refused:  # warming is switched off, so nothing may be stored
            return compute_fresh(key)
        if result.outcome == WarmOutcome.FAILED:
            raise CannotCompute(
                f"cannot compute {key}: {result.problem}", "see the target's last error in the admin, under Caches"
            )
        if result.outcome != WarmOutcome.BUSY:
            served = _served(key, result)
            if served is not None:
                return served
        if time.monotonic() > deadline or result.outcome == WarmOutcome.OFF:
            return compute_fresh(key)
        pause(LOOK_SECONDS)


def _served(key: Key, result: WarmResult) -> Served | None:
    """Return what a warming stored, or else what the tiers have by now, or None if they have nothing."""
    if result.record is not None:
        state = result.record.state(database_clock.now())
        return Served(Lookup(state, Tier.MISS, result.record, 0.0, is_due=False), is_computed=True)
    lookup = get_entry(key)
    return None if lookup.state is ValueState.MISSING else Served(lookup, is_computed=False)


def _refresh(key: Key, current: Lookup) -> Served:
    """Return the new value. If the refresh fails, return the current one and begin the key's backoff."""
    with suppress(SlipwayError, Error):
        [result] = warm([_target_of(key)], actor=SYSTEM)
        if result.outcome not in (WarmOutcome.FAILED, WarmOutcome.BUSY):
            served = _served(key, result)
            if served is not None:
                refresh_backoff.end(key)
                return served
    refresh_backoff.begin(key)
    return Served(current, is_computed=False)


def _target_of(key: Key) -> CacheTarget:
    try:
        return CacheTarget.objects.get(cache_type=key.cache_type, sport=key.sport, subject=key.subject, is_enabled=True)
    except CacheTarget.DoesNotExist:
        raise NoTarget(
            f"cannot serve {key}: it has no enabled cache target", "add one in the admin, under Caches, Cache targets"
        ) from None
