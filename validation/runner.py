"""Running checks side by side, all on one view of the database, each within its time limit."""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import structlog
from django.db import Error, connection, connections, transaction

from core.db.shared_view import SharedView, adopt_view, export_view
from core.errors import SlipwayError, first_line
from core.health_checks import Check, Finding, Result, Skipped, View
from core.redaction import redact
from validation import sql
from validation.verdict import CheckOutcome

AT_ONCE = 4  # checks
IDLE_GRACE_MS = 5000
log = structlog.get_logger("slipway.validation")
Findings = queue.Queue[tuple[Check, Finding]]


class CannotRun(SlipwayError):
    """No check could run."""


class CheckRun(NamedTuple):
    """The outcomes of a run, and the moment of the database that its checks saw, by its own clock."""

    moment: datetime
    outcomes: list[CheckOutcome]


def run_checks(chosen: Sequence[Check], *, is_full: bool = False, since: datetime | None = None) -> CheckRun:
    """Run the checks, AT_ONCE (4) at a time. The outcomes are in the order of the checks.

    A check that breaks, or takes longer than its time limit, gets the result ERROR and stops no other check. The thread
    of a check that took too long may still run, but it is not counted: the next check starts in its place.

    is_full: checks that sample look at everything.
    since: the start of the last full run; None if no full run exists.
    Raises CannotRun if the database does not answer.
    """
    findings: Findings = queue.Queue()
    waiting = deque(chosen)
    started: dict[Check, float] = {}
    outcomes: dict[Check, CheckOutcome] = {}
    with _exported_view() as view:
        while len(outcomes) < len(chosen):
            while waiting and len(started) - len(outcomes) < AT_ONCE:
                check = waiting.popleft()
                started[check] = time.monotonic()
                args = (check, view.name, is_full, since, findings)
                threading.Thread(target=_run_check, args=args, name=f"check-{check.id}", daemon=True).start()
            deadlines = {check: start + check.seconds for check, start in started.items() if check not in outcomes}
            try:
                check, finding = findings.get(timeout=max(0.001, min(deadlines.values()) - time.monotonic()))
            except queue.Empty:
                overdue = [check for check, deadline in deadlines.items() if time.monotonic() >= deadline]
                outcomes |= {check: CheckOutcome(check, _timed_out(check), check.seconds * 1000) for check in overdue}
            else:
                if check in deadlines:  # otherwise it ended after its time limit, and has an outcome already
                    outcomes[check] = CheckOutcome(check, finding, (time.monotonic() - started[check]) * 1000)
    return CheckRun(view.moment, [outcomes[check] for check in chosen])


@contextmanager
def _exported_view() -> Iterator[SharedView]:
    """Export a view of the database. Other connections can adopt it as long as the block lasts."""
    exporter = connections.create_connection("default")
    try:
        exporter.set_autocommit(False)
        with exporter.cursor() as cursor:
            view = export_view(cursor)
    except Error as error:
        exporter.close()
        cause = redact(first_line(error, "it gave no reason"))
        problem = f"cannot run any check: the database does not answer: {cause}"
        raise CannotRun(problem, "start the database, and check DATABASE_URL") from error
    try:
        yield view
    finally:
        exporter.close()


def _run_check(check: Check, view_name: str, is_full: bool, since: datetime | None, findings: Findings) -> None:
    """Run one check in this thread, in a transaction that sees the exported view, and put its finding in the queue."""
    limit_ms = int(check.seconds * 1000)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            adopt_view(cursor, view_name)
            cursor.execute(sql.LIMIT_TIME, {"statement_ms": limit_ms, "idle_ms": limit_ms + IDLE_GRACE_MS})
            finding = check.run(View(connection, is_full, since))
            if not isinstance(finding, Finding):
                raise TypeError(f"it must return a Finding (got {type(finding).__name__})")
            transaction.set_rollback(True)
    except Skipped as skipped:
        finding = _skipped(skipped)
    except BaseException as error:  # a check that breaks proves nothing about its subject
        cause = redact(first_line(error))
        message = f"the check broke: {type(error).__name__}: {cause}".removesuffix(": ")
        remedy = "read the traceback of this check in the log; a missing table breaks several checks"
        finding = Finding(Result.ERROR, "–", "–", message, remedy)
        log.warning("a check broke", check=check.id, exc_info=True)
    finally:
        connection.close()
    findings.put((check, finding))


def _skipped(skipped: Skipped) -> Finding:
    """Return the finding of a check that raised Skipped(reason, remedy). The remedy may be missing."""
    reason, remedy = (*map(str, skipped.args), "", "")[:2]
    return Finding(Result.SKIP, "–", "–", reason, remedy)


def _timed_out(check: Check) -> Finding:
    limit = f"{check.seconds:g} s"
    remedy = "look for locks and load in the table pg_stat_activity, then run it again: manage.py validate"
    return Finding(Result.ERROR, "no answer", limit, f"no answer within {limit}", remedy)
