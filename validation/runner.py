"""Runs checks side by side, all on one view of the database, each within its time."""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import structlog
from django.db import Error, connection, connections, transaction

from core.errors import SlipwayError, first_line
from core.health_checks import Check, Finding, Result, Skipped, View
from core.redaction import redact
from validation.verdict import Outcome

AT_ONCE = 4
log = structlog.get_logger("slipway.validation")
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
SAME_VIEW = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


class CannotRun(SlipwayError):
    """No check could run."""


def run_checks(
    chosen: Sequence[Check], *, is_full: bool = False, since: datetime | None = None
) -> tuple[datetime, list[Outcome]]:
    """The moment, of the database's clock, whose view they all had, and what each found, in their order. Raises
    CannotRun without a database.
    """
    ended: queue.Queue[tuple[Check, Finding]] = queue.Queue()
    with _exported() as (moment, snapshot):
        waiting = deque(chosen)
        started: dict[Check, float] = {}
        found: dict[Check, Outcome] = {}
        while len(found) < len(chosen):
            running = [each for each in started if each not in found]
            while waiting and len(running) < AT_ONCE:
                each = waiting.popleft()
                args = (each, snapshot, is_full, since, ended)
                started[each] = time.monotonic()
                threading.Thread(target=_look, args=args, name=f"check-{each.id}", daemon=True).start()
                running.append(each)
            nearest = min(started[each] + each.seconds for each in running)
            try:
                each, finding = ended.get(timeout=max(0.001, nearest - time.monotonic()))
                if each not in found:  # else it was given up on
                    found[each] = Outcome(each, finding, (time.monotonic() - started[each]) * 1000)
            except queue.Empty:
                for each in running:
                    if time.monotonic() - started[each] >= each.seconds and each not in found:
                        found[each] = Outcome(each, _too_slow(each), each.seconds * 1000)
    return moment, [found[each] for each in chosen]


@contextmanager
def _exported() -> Iterator[tuple[datetime, str]]:
    """A view of the database that other connections can take on, for as long as the block lasts."""
    own = connections.create_connection("default")
    try:
        with own.cursor() as cursor:
            cursor.execute(BEGIN)
            cursor.execute("SELECT now(), pg_export_snapshot()")
            moment, snapshot = cursor.fetchone()
    except Error as error:
        own.close()
        said = redact(first_line(error, "no answer"))
        raise CannotRun(f"the database does not answer: {said}", "start it, and check DATABASE_URL") from error
    try:
        yield moment, snapshot
    finally:
        own.close()


def _look(
    each: Check, snapshot: str, is_full: bool, since: datetime | None, ended: "queue.Queue[tuple[Check, Finding]]"
) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(SAME_VIEW)
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            cursor.execute(f"SET LOCAL statement_timeout = {int(each.seconds * 1000)}")
            # One that hangs in between keeps no old view of the database open.
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = {int(each.seconds * 1000) + 5000}")
            finding = each.run(View(connection, is_full, since))
            if not isinstance(finding, Finding):
                raise TypeError(f"it answered {type(finding).__name__}, no Finding")
            transaction.set_rollback(True)
    except Skipped as skipped:
        why, remedy = (*skipped.args, "", "")[:2]
        finding = Finding(Result.SKIP, "–", "–", str(why), str(remedy))
    except BaseException as error:  # the check broke, which says nothing of what it was to look at
        said = redact(first_line(error))
        told = f"the check broke: {type(error).__name__}: {said}".removesuffix(": ")
        finding = Finding(Result.ERROR, "–", "–", told, "see the log; a table that is missing fails others too")
        log.warning("a check broke", check=each.id, exc_info=True)
    finally:
        connection.close()
    ended.put((each, finding))


def _too_slow(each: Check) -> Finding:
    limit = f"{each.seconds:g} s"
    return Finding(Result.ERROR, "no answer", limit, f"no answer within {limit}", "see what keeps it: locks, load")
