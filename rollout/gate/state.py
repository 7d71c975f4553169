"""The rollouts as this process knows them: immutable states that a thread refreshes.

A look-up takes no lock and does no I/O.

The states are refreshed every second, and at once when a rollout moved or tripped in any process. If ticks, PostgreSQL
or Redis are missing for 30 s, gates serve control; until then they keep the last states. Gates serve control too while
serving is switched off.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import UUID

import redis
import structlog
from django.db import Error, connection, transaction

from core.redis import key, listening_client
from rollout import sql
from rollout.choices import Stage
from rollout.decisions.stages import Serving, serving_at
from rollout.decisions.trips import hard_limit
from rollout.gate import heartbeat
from rollout.gate import marks as redis_marks
from rollout.gate.counters import StageVisit
from rollout.gate.marks import GateMark

VALID_SECONDS = 30.0
REFRESH_SECONDS = 1.0
log = structlog.get_logger("slipway.gate")


@dataclass(frozen=True, slots=True)
class RolloutState:
    """A rollout as a gate acts on it.

    serving: how it serves now; control alone if it tripped, is blind, or serving is switched off.
    visit: what counting needs to know of the stage visit.
    settled_epoch: the epoch with which the rollout was last started, aborted or tripped; 0: never.
    is_serving_on: whether the part Serving is switched on.
    has_tripped: whether a trip is not settled by a transition yet.
    is_blind: whether the control loop cannot judge the rollout, or its state is too old.
    """

    stage: Stage
    serving: Serving
    visit: StageVisit
    settled_epoch: int = 0
    is_serving_on: bool = True
    has_tripped: bool = False
    is_blind: bool = False


UNKNOWN = RolloutState(Stage.DISABLED, Serving(), StageVisit(""))


class RolloutStates:
    """The states of all rollouts. `refresh` reads them once; `start` begins a thread that does so from then on."""

    def __init__(self) -> None:
        self._states: Mapping[str, RolloutState] = {}
        self._are_known = False  # until the rollouts were read once
        self._valid_until = 0.0  # by time.monotonic(); after that the states are too old to act on
        self._has_postgresql, self._has_redis = True, True  # until a refresh fails
        self._heartbeat = heartbeat.HeartbeatMonitor()
        self._has_refreshed = threading.Event()
        self._is_stopped = False

    def find(self, rollout: str) -> RolloutState | None:
        """Return the rollout's state; None if control must be served because it is unknown, blind or too old."""
        state = self._states.get(rollout)
        if state is None or state.is_blind or time.monotonic() >= self._valid_until:
            return None
        return state

    def last_known(self, rollout: str) -> RolloutState:
        """Return the last known state, changed to control and blind."""
        return replace(self._states.get(rollout, UNKNOWN), serving=Serving(), is_blind=True)

    def names(self) -> list[str]:
        """Return the names of the known rollouts, in alphabetical order."""
        return sorted(self._states)

    def are_known(self) -> bool:
        """Return whether the rollouts were read at least once. There may be none: archived ones are not read."""
        return self._are_known

    def visit_of(self, rollout: str) -> StageVisit | None:
        """Return the rollout's stage visit, even if it is old: observations of it are counted all the same."""
        state = self._states.get(rollout)
        return state.visit if state else None

    def refresh(self) -> None:
        """Read the states and trip marks once. A failure of PostgreSQL or Redis is logged when it begins."""
        with suppress(redis.RedisError):  # before PostgreSQL, which may take a while to answer
            self._states = _with_marks(self._states)
        states = self._read_rollouts()
        try:
            states = _with_marks(states)
            self._has_redis = True
            if not self._heartbeat.check():
                self.expire()
            elif self._has_postgresql:
                self._valid_until = time.monotonic() + VALID_SECONDS
        except redis.RedisError as error:
            if self._has_redis:
                log.warning(self._outage("Redis"), error=type(error).__name__)
            self._has_redis = False
            states = {name: _with_known_trip(state, self._states.get(name)) for name, state in states.items()}
        self._states = states

    def expire(self) -> None:
        """Serve control for every rollout until a refresh succeeds."""
        self._valid_until = 0.0

    def start(self) -> threading.Event:
        """Begin a thread that refreshes the states. Return an event that is set after the first refresh."""
        self._thread = threading.Thread(target=self._run, name="slipway-gate", daemon=True)
        self._thread.start()
        return self._has_refreshed

    def stop(self) -> None:
        """End the thread, and return when it has ended."""
        self._is_stopped = True
        self._thread.join()

    def _read_rollouts(self) -> Mapping[str, RolloutState]:
        """Return the states that PostgreSQL has; the last ones if it does not answer."""
        try:
            states = _read_states()
        except Error as error:
            if self._has_postgresql:
                log.warning(self._outage("PostgreSQL"), error=str(error))
            self._has_postgresql = False
            return self._states
        self._has_postgresql = self._are_known = True
        return states

    def _outage(self, server: str) -> str:
        if time.monotonic() >= self._valid_until:
            return f"{server} does not answer; gates answer control until it does"
        return f"{server} does not answer; the last decisions hold for {VALID_SECONDS:.0f} s, then gates answer control"

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                self._refresh_in_thread()
                with listening_client() as redis_client, redis_client.pubsub() as subscription:
                    subscription.subscribe(key("rollouts"))
                    while not self._is_stopped:
                        self._refresh_in_thread()
                        subscription.get_message(timeout=REFRESH_SECONDS)
            except (redis.RedisError, OSError):
                time.sleep(REFRESH_SECONDS)
            except Exception:  # the next refresh is a second away, and gates whose states are too old serve control
                log.exception("cannot refresh the states of the rollouts; gates answer control if this lasts 30 s")
                time.sleep(REFRESH_SECONDS)
        connection.close()

    def _refresh_in_thread(self) -> None:
        connection.close_if_unusable_or_obsolete()
        self.refresh()
        self._has_refreshed.set()


def _read_states() -> dict[str, RolloutState]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.LIMIT_STATEMENT_TIME)
        cursor.execute(sql.ROLLOUT_STATES)
        return {row[0]: _state(*row[1:]) for row in cursor}


def _state(
    stage: str,
    percent: int,
    epoch: int,
    visit: UUID,
    attempt: UUID,
    settled_epoch: int,
    control_requests: int,
    control_errors: int,
    errors_at_most: float | None,
    window_minutes: float | None,
    first_requests: int | None,
    hold_back_percent: int,
    is_serving_on: bool,
) -> RolloutState:
    """Return the state of one row of `sql.ROLLOUT_STATES`."""
    limit = None
    if errors_at_most is not None:
        limit = hard_limit(int(errors_at_most), first_requests, control_requests, control_errors)
    serving = serving_at(Stage(stage), percent, hold_back_percent)
    return RolloutState(
        Stage(stage),
        serving if is_serving_on else Serving(),
        StageVisit(
            id=visit.hex,
            attempt=attempt.hex,
            epoch=epoch,
            step=serving.percent,
            errors_at_most=limit,
            first_requests=first_requests,
            window_seconds=None if window_minutes is None else window_minutes * 60,
        ),
        settled_epoch,
        is_serving_on,
    )


def _with_marks(states: Mapping[str, RolloutState]) -> dict[str, RolloutState]:
    """Return the states with their trip marks. Raises redis.RedisError."""
    marks = redis_marks.read_marks({name: state.visit.attempt for name, state in states.items()})
    return {name: _with_mark(state, marks[name]) for name, state in states.items()}


def _with_mark(state: RolloutState, mark: GateMark) -> RolloutState:
    if state.stage is Stage.DISABLED:
        return state
    if not mark.errors:
        return replace(state, is_blind=mark.is_blind)
    return replace(state, serving=Serving(), has_tripped=True, is_blind=mark.is_blind)


def _with_known_trip(state: RolloutState, before: RolloutState | None) -> RolloutState:
    """Return the state, tripped if it was before and no transition settled that trip."""
    if before and before.has_tripped and state.visit.attempt == before.visit.attempt:
        return replace(state, serving=Serving(), has_tripped=True)
    return state
