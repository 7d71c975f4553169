"""Locks on whole tables that never make other sessions queue for long.

Each attempt waits only WAIT_MS for the locks, because later sessions queue behind a lock request that waits. After
PATIENCE_SECONDS the sessions that hold the tables are ended, if the caller allows it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import TypedDict, TypeVar

from django.db import OperationalError, connection, transaction
from psycopg import errors

from core.errors import SlipwayError
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.tables import execute, fetch_rows

WAIT_MS = 200  # an attempt waits this long for the locks
WORK_MS = 5000  # the work under the locks waits this long for further ones
PATIENCE_SECONDS = 10.0  # attempts go on this long before sessions are ended
AFTERWARDS_SECONDS = 3.0  # and this long after they were ended
PAUSE_SECONDS = 0.1  # between two attempts
AUTOVACUUM = "autovacuum worker"
# An autovacuum worker gives way to a session that waits longer than deadlock_timeout, which is 1 s by default.
AUTOVACUUM_WAIT_MS = 1500
Result = TypeVar("Result")


class BlockedBySessions(SlipwayError):
    """Other sessions hold the tables, and may not be ended."""


class LockMode(Enum):
    """PostgreSQL's name of a lock mode, and the locks that other sessions may still hold."""

    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE", ()  # other sessions cannot even read
    EXCLUSIVE = "EXCLUSIVE", ("AccessShareLock",)  # other sessions can only read
    # Other sessions cannot write. A foreign key asks for this lock on the table that it references.
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE", ("AccessShareLock", "RowShareLock")

    def __init__(self, keyword: str, harmless_locks: tuple[str, ...]) -> None:
        self.keyword = keyword
        self.harmless_locks = harmless_locks


Locks = Mapping[LockMode, Sequence[str]]  # quoted names of tables


class BlockingSession(TypedDict):
    """A session that holds a table, as it is stored in the evidence of a step."""

    pid: int  # 0: a prepared transaction
    is_own: bool  # it belongs to Slipway's own database role
    kind: str
    application: str
    state: str
    seconds: float  # the age of its transaction


def with_locks(locks: Locks, work: Callable[[], Result]) -> Result:
    """Call `work` in one transaction that holds the locks, and return its result. No session is ended.

    Raises BlockedBySessions, which names the pids.
    """
    return _with_locks(locks, work, None)


def with_locks_by_force(locks: Locks, work: Callable[[list[BlockingSession]], Result]) -> Result:
    """Do as `with_locks`, but end sessions of Slipway's own database role once PATIENCE_SECONDS are over.

    work: receives the sessions that were ended to get the locks.
    """
    ended: list[BlockingSession] = []
    return _with_locks(locks, partial(work, ended), ended)


def _with_locks(locks: Locks, work: Callable[[], Result], ended: list[BlockingSession] | None) -> Result:
    """Call `work` under the locks. ended: gets the sessions that are ended; None if none may be."""
    wait_ms, deadline = WAIT_MS, time.monotonic() + PATIENCE_SECONDS
    seen_pids: set[int] = set()
    while True:
        try:
            with transaction.atomic(durable=True):
                _acquire(locks, wait_ms)
                return work()
        except OperationalError as error:
            if not isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected):
                raise
        sessions = _sessions_that_hold(locks)
        # A session counts if two checks in a row find it: one that reads for a moment blocks nothing.
        blockers = [session for session in sessions if session["pid"] in seen_pids]
        seen_pids = {session["pid"] for session in sessions}
        waits_for_autovacuum = bool(blockers) and all(session["kind"] == AUTOVACUUM for session in blockers)
        wait_ms = AUTOVACUUM_WAIT_MS if waits_for_autovacuum else WAIT_MS
        if time.monotonic() > deadline:
            if ended is None or ended or not all(session["is_own"] for session in blockers):
                raise _blocked_by(blockers)
            ended += end_sessions(blockers)
            if not ended:
                raise _blocked_by(blockers)
            deadline = time.monotonic() + AFTERWARDS_SECONDS
        time.sleep(PAUSE_SECONDS)


def _acquire(locks: Locks, wait_ms: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SET_LOCK_TIMEOUT.format(milliseconds=wait_ms))
        for mode, tables in locks.items():
            if tables:
                cursor.execute(sql.LOCK_TABLES.format(tables=", ".join(tables), mode=mode.keyword))
        cursor.execute(sql.SET_LOCK_TIMEOUT.format(milliseconds=WORK_MS))


def _sessions_that_hold(locks: Locks) -> list[BlockingSession]:
    sessions: dict[int, BlockingSession] = {}
    for mode, tables in locks.items():
        params = {"tables": list(tables), "harmless": list(mode.harmless_locks)}
        for pid, is_own, kind, application, state, seconds in fetch_rows(sql.BLOCKING_SESSIONS, params):
            sessions[pid] = BlockingSession(
                pid=pid, is_own=is_own, kind=kind, application=application, state=state, seconds=seconds
            )
    return list(sessions.values())


def end_sessions(sessions: Sequence[BlockingSession]) -> list[BlockingSession]:
    """End the sessions that belong to Slipway's own database role, and return them."""
    own_sessions = [session for session in sessions if session["is_own"]]
    for session in own_sessions:
        execute(sql.TERMINATE_SESSION, [session["pid"]])
    return own_sessions


def _blocked_by(blockers: Sequence[BlockingSession]) -> BlockedBySessions:
    if not blockers:
        return BlockedBySessions(
            f"cannot lock the tables: they were not free within {PATIENCE_SECONDS:g} s", "run the command again"
        )
    pids = ", ".join(f"{session['pid']} ({session['application'] or session['kind']})" for session in blockers)
    return BlockedBySessions(
        f"cannot lock the tables: sessions hold them that may not be ended: {pids}",
        "end them as a superuser, SELECT pg_terminate_backend(PID), and run the command again",
    )
