"""Locks on whole tables that never queue the site behind somebody: short waits, tried again, then the sessions in the
way are ended where that is allowed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from django.db import OperationalError, connection, transaction
from psycopg import errors

from core.errors import SlipwayError
from rollout.recovery.postgres import sql
from rollout.recovery.postgres.tables import execute, rows_of

WAIT_MS, WORK_MS = 200, 5000
PATIENCE_SECONDS, AFTERWARDS_SECONDS = 10.0, 3.0
PAUSE_SECONDS = 0.1
# An autovacuum worker gives way to whoever waits for longer than deadlock_timeout, which is a second.
AUTOVACUUM, AUTOVACUUM_WAIT_MS = "autovacuum worker", 1500
Found = TypeVar("Found")


class InTheWay(SlipwayError):
    """Sessions hold what is needed, and may not be ended."""


class Mode(Enum):
    """Of PostgreSQL's, with those that others may hold meanwhile."""

    WHOLE = "ACCESS EXCLUSIVE", ()  # nobody else even reads
    READ_ONLY = "EXCLUSIVE", ("AccessShareLock",)
    NO_WRITES = "SHARE ROW EXCLUSIVE", ("AccessShareLock", "RowShareLock")  # what a foreign key asks of its target


Locks = Mapping[Mode, Sequence[str]]  # quoted names of tables


Sessions = list[dict[str, Any]]  # as the catalogue tells of them


def with_locks(locks: Locks, work: Callable[[Sessions], Found], *, ends_sessions: bool) -> Found:
    """Do the work in one transaction that holds the locks; it is told of the sessions that were ended for it. Raises
    InTheWay with the pids.
    """
    ended, wait_ms, deadline = Sessions(), WAIT_MS, time.monotonic() + PATIENCE_SECONDS
    seen: set[int] = set()
    while True:
        try:
            with transaction.atomic(durable=True):
                _lock(locks, wait_ms)
                return work(ended)
        except OperationalError as error:
            if not isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected):
                raise
        found = _blockers(locks)
        # Who is there at two looks; else whoever reads for a moment would be taken for one in the way.
        blockers = [each for each in found if each["pid"] in seen]
        seen = {each["pid"] for each in found}
        waits_for_autovacuum = bool(blockers) and all(each["kind"] == AUTOVACUUM for each in blockers)
        wait_ms = AUTOVACUUM_WAIT_MS if waits_for_autovacuum else WAIT_MS
        if time.monotonic() > deadline:
            is_hopeless = ended or not ends_sessions or not all(each["is_own"] for each in blockers)
            if is_hopeless or not (own := _end(blockers)):
                raise InTheWay(_named(blockers), "end them as a superuser: SELECT pg_terminate_backend(PID)")
            ended = own
            deadline = time.monotonic() + AFTERWARDS_SECONDS
        time.sleep(PAUSE_SECONDS)


def _lock(locks: Locks, wait_ms: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait_ms}ms"])
        for mode, tables in locks.items():
            if tables:
                cursor.execute(f"LOCK TABLE {', '.join(tables)} IN {mode.value[0]} MODE")
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{WORK_MS}ms"])


def _blockers(locks: Locks) -> Sessions:
    names = ("pid", "is_own", "kind", "application", "state", "seconds")
    found: dict[int, dict[str, Any]] = {}
    for mode, tables in locks.items():
        for row in rows_of(sql.BLOCKERS, {"tables": list(tables), "harmless": list(mode.value[1])}):
            found[row[0]] = dict(zip(names, row, strict=True))
    return list(found.values())


def _end(blockers: Sessions) -> Sessions:
    """Those of this role. Returns them."""
    own = [each for each in blockers if each["is_own"]]
    for each in own:
        execute("SELECT pg_terminate_backend(%s)", [each["pid"]])
    return own


def _named(blockers: Sessions) -> str:
    pids = ", ".join(f"{each['pid']} ({each['application'] or each['kind']})" for each in blockers)
    return f"sessions in the way that may not be ended: {pids}" if blockers else "locks could not be had in time"
