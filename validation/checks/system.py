"""The category system-health: the site answers, and the database accepts writes."""

import http.client
import json
import time
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connections

from core.errors import first_line
from core.health_checks import Finding, View, check, judged
from core.http.client import connection_to
from core.redaction import redact
from validation import sql

CATEGORY = "system-health"
LIMIT_SECONDS = 5.0
BODY_AT_MOST = 10_000  # bytes


@check("api_health", CATEGORY, seconds=15)
def api_health(view: View) -> Finding:
    """Ask /readyz at SITE_URL, following no redirect. Limit: HTTP 200 and ready within 5 s."""
    address, start = f"{settings.SITE_URL}/readyz", time.perf_counter()
    try:
        status, body = _get(address)
        is_ready = status == 200 and json.loads(body).get("ready") is True
        message = f"{address} answers HTTP {status}{'' if is_ready else ' and is not ready'}"
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        status, is_ready = 0, False
        message = f"{address} does not answer: {type(error).__name__}: {redact(str(error))}"
    seconds = time.perf_counter() - start
    return judged(
        is_ready and seconds <= LIMIT_SECONDS,
        f"HTTP {status} in {seconds * 1000:.0f} ms" if status else "no answer",
        f"ready within {LIMIT_SECONDS:.0f} s",
        message,
        remedy="check that the web process runs, that SITE_URL is right and reachable, and what /readyz reports",
    )


def _get(address: str) -> tuple[int, bytes]:
    """Return the status of the answer, and the first BODY_AT_MOST (10,000) bytes of its body."""
    connection = connection_to(address, LIMIT_SECONDS)
    try:
        connection.request("GET", urlsplit(address).path, headers={"User-Agent": "slipway-validate"})
        answer = connection.getresponse()
        return answer.status, answer.read(BODY_AT_MOST)
    finally:
        connection.close()


@check("database_connection", CATEGORY)
def database_connection(view: View) -> Finding:
    """Write a row, read it back and roll back, on a separate connection. Limit: the row is read back unchanged."""
    connection, start = connections.create_connection("default"), time.perf_counter()
    try:
        connection.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute(sql.LIMIT_LOCK_WAIT)
            cursor.execute(sql.WRITE_PROBE)
            written = cursor.fetchone()
            cursor.execute(sql.READ_PROBE, [written[0]])
            read = cursor.fetchone()
        problem = "" if written == read else "the row that was read differs from the row that was written"
    except Exception as error:  # any error means that the database accepts no write
        problem = redact(first_line(error, type(error).__name__))
    finally:
        connection.close()  # without a commit, which rolls back
    ms = (time.perf_counter() - start) * 1000
    return judged(
        not problem,
        "not written" if problem else f"{ms:.0f} ms",
        "written, read back, rolled back",
        f"the database accepts no write: {problem}" if problem else "the database accepts a write and returns it",
        remedy="check whether the database is read-only, full, or a standby; then read its log",
    )
