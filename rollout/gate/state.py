"""The rollouts as this process knows them: immutable states that threads refresh.

A look-up takes no lock and does no I/O.

The states are refreshed every second, and at once when a rollout moved or tripped in any process. If ticks, PostgreSQL
or Redis are missing for 30 s, gates serve control; until then they keep the last states. Gates serve control too while
serving is switched off. A trip that this process learned binds its attempt until a transition begins the next one,
however late PostgreSQL answers.
"""

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

import redis
import structlog
from django.db import Error, connection, transaction

from rollout import sql
from rollout.choices import Stage
from rollout.decisions.stages import Serving, serving_at
from rollout.decisions.trips import hard_limit
from rollout.gate import heartbeat
from rollout.gate import marks as redis_marks
from rollout.gate.counting.observation import StageVisit
from rollout.gate.marks import GateMark

VALID_SECONDS = 30.0
NEVER = float("-inf")
TRIP = re.compile(rb"trip (?P<attempt>\w+)")
log = structlog.get_logger("slipway.gate")


@dataclass(frozen=True, slots=True)
class RolloutState:
    """A rollout as a gate acts on it.

    serving: how it serves now; control alone if it tripped, is blind, or serving is switched off.
    visit: what counting needs to know of the stage visit.
    is_serving_on: whether the part Serving is switched on.
    has_tripped: whether a trip is not settled by a transition yet.
    is_blind: whether the control loop cannot judge the rollout, or its state is too old.
    """

    stage: Stage
    serving: Serving
    visit: StageVisit
    is_serving_on: bool = True
    has_tripped: bool = False
    is_blind: bool = False


UNKNOWN = RolloutState(Stage.DISABLED, Serving(), StageVisit(""))


class RolloutStates:
    """The states of all rollouts. Reading the marks in Redis needs no PostgreSQL, and each can be refreshed alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # for changes; a look-up takes none
        self._rows: Mapping[str, RolloutState] = {}  # as PostgreSQL has them
        self._marks: Mapping[str, GateMark] = {}  # as Redis has them
        self._tripped: frozenset[str] = frozenset()  # attempts; a transition that settles a trip ends its attempt
        self._states: Mapping[str, RolloutState] = {}
        self._rows_at = self._redis_at = NEVER  # when the last successful reading began, by time.monotonic()
        self._valid_until = NEVER  # by time.monotonic(); after that the states are too old to act on
        self._are_known = False  # until the rollouts were read once
        self._has_postgresql, self._has_redis = True, True  # until a refresh fails
        self._heartbeat = heartbeat.HeartbeatMonitor()

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
        """Read the states and marks once. A failure of PostgreSQL or Redis is logged when it begins."""
        self.refresh_marks()  # before PostgreSQL, which may take a while to answer
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Read the rollouts from PostgreSQL, and then their marks."""
        began_at = time.monotonic()
        try:
            rows = _read_states()
        except Error as error:
            if self._has_postgresql:
                log.warning(self._outage("PostgreSQL"), error=str(error))
            self._has_postgresql = False
        else:
            self._has_postgresql = self._are_known = True
            self.refresh_marks(rows, began_at)

    def refresh_marks(self, rows: Mapping[str, RolloutState] | None = None, rows_at: float = NEVER) -> None:
        """Read the marks in Redis, and act on them together with the rows.

        rows: those just read from PostgreSQL; None: the last ones.
        rows_at: when that reading began.
        """
        began_at = time.monotonic()
        known = self._rows if rows is None else rows
        marks: Mapping[str, GateMark] | None = None
        try:
            marks = redis_marks.read_marks({name: row.visit.attempt for name, row in known.items()})
            self._has_redis, is_alive = True, self._heartbeat.check()
        except redis.RedisError as error:
            if self._has_redis:
                log.warning(self._outage("Redis"), error=type(error).__name__)
            self._has_redis, is_alive = False, True
            began_at = self._redis_at
        with self._lock:
            if marks is not None:
                self._marks = marks
                self._tripped |= {known[name].visit.attempt for name, mark in marks.items() if mark.errors}
            if rows is not None:
                self._rows, self._rows_at = rows, max(self._rows_at, rows_at)
            self._redis_at = began_at if is_alive else NEVER
            self._renew()

    def mark_tripped(self, rollout: str) -> None:
        """Serve control for a rollout that this process's counts have just tripped, before the marks are read again."""
        row = self._rows.get(rollout)
        if row is None:
            return
        try:
            has_tripped = bool(redis_marks.read_trip_errors(row.visit.attempt))
        except redis.RedisError:
            has_tripped = True  # Redis has just taken the counts, so it is better to be wrong for this attempt
        if has_tripped:
            self._act_on_trip(row.visit.attempt)

    def act_on(self, message: bytes) -> None:
        """Act on a message of another process if it is b"trip ATTEMPT"; others only ask for a refresh."""
        trip = TRIP.fullmatch(message)
        if trip:
            self._act_on_trip(trip["attempt"].decode())

    def expire(self) -> None:
        """Serve control for every rollout until a refresh succeeds."""
        with self._lock:
            self._rows_at = self._redis_at = self._valid_until = NEVER

    def _act_on_trip(self, attempt: str) -> None:
        """Serve control for the rollout that is in this attempt; if none is, change nothing."""
        with self._lock:
            self._tripped |= {attempt}
            self._renew()

    def _renew(self) -> None:
        """Make the states of the rows, the marks and the trips. The caller holds the lock."""
        self._tripped &= {row.visit.attempt for row in self._rows.values()}
        self._states = {name: self._with_marks(name, row) for name, row in self._rows.items()}
        self._valid_until = min(self._rows_at, self._redis_at) + VALID_SECONDS

    def _with_marks(self, name: str, row: RolloutState) -> RolloutState:
        if row.stage is Stage.DISABLED:
            return row
        mark = self._marks.get(name)
        is_blind = mark is not None and mark.is_blind
        if row.visit.attempt in self._tripped:
            return replace(row, serving=Serving(), has_tripped=True, is_blind=is_blind)
        return replace(row, is_blind=True) if is_blind else row

    def _outage(self, server: str) -> str:
        if time.monotonic() >= self._valid_until:
            return f"{server} does not answer; gates answer control until it does"
        return f"{server} does not answer; the last decisions hold for {VALID_SECONDS:.0f} s, then gates answer control"


def _read_states() -> dict[str, RolloutState]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.LIMIT_STATEMENT_TIME)
        cursor.execute(sql.ROLLOUT_STATES)
        return {row[0]: _state(*row[1:]) for row in cursor}


def _state(
    stage: str,
    percent: int,
    visit: UUID,
    attempt: UUID,
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
    serving = serving_at(Stage(stage), percent, hold_back_percent) if is_serving_on else Serving()
    return RolloutState(
        Stage(stage),
        serving,
        StageVisit(
            # While serving is off the stage is not in effect, and its calls are no evidence for it.
            id=visit.hex if is_serving_on else f"{visit.hex}-off",
            attempt=attempt.hex,
            step=serving.percent,
            errors_at_most=limit,
            first_requests=first_requests,
            window_seconds=None if window_minutes is None else window_minutes * 60,
        ),
        is_serving_on,
    )
