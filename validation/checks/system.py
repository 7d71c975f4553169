"""system-health: the site answers, and the database takes a write."""

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
TIMEOUT_SECONDS, BODY_AT_MOST = 5.0, 10_000


@check("api_health", CATEGORY, seconds=15)
def api_health(view: View) -> Finding:
    """Whether the site is ready, asked from outside; nothing is followed."""
    address, start = f"{settings.SITE_URL}/readyz", time.perf_counter()
    try:
        status, body = _asked(address)
        is_ready = status == 200 and json.loads(body).get("ready") is True
        said = f"{address} answers {status}{'' if is_ready else ', and is not ready'}"
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        status, is_ready, said = 0, False, f"{address} does not answer: {type(error).__name__}: {redact(str(error))}"
    seconds = time.perf_counter() - start
    return judged(
        is_ready and seconds <= TIMEOUT_SECONDS,
        f"HTTP {status} in {seconds * 1000:.0f} ms" if status else "no answer",
        f"ready within {TIMEOUT_SECONDS:.0f} s",
        said,
        remedy="see that the web process runs, that SITE_URL is right and reached from here, and what /readyz says",
    )


def _asked(address: str) -> tuple[int, bytes]:
    line = connection_to(address, TIMEOUT_SECONDS)
    try:
        line.request("GET", urlsplit(address).path, headers={"User-Agent": "slipway-validate"})
        answer = line.getresponse()
        return answer.status, answer.read(BODY_AT_MOST)
    finally:
        line.close()


@check("database_connection", CATEGORY)
def database_connection(view: View) -> Finding:
    """Written, read back and rolled back, on a connection of its own."""
    own, start = connections.create_connection("default"), time.perf_counter()
    try:
        own.set_autocommit(False)
        with own.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            cursor.execute(sql.WRITE)
            written = cursor.fetchone()
            cursor.execute(sql.READ, [written[0]])
            found = cursor.fetchone()
        problem = "" if written == found else "what was written is not read back"
    except Exception as error:  # whatever it is: the database does not take a write
        problem = redact(first_line(error, type(error).__name__))
    finally:
        own.close()  # which rolls back
    ms = (time.perf_counter() - start) * 1000
    return judged(
        not problem,
        "not written" if problem else f"{ms:.0f} ms",
        "written, read back, rolled back",
        f"the database takes no write: {problem}" if problem else "the database takes a write and gives it back",
        remedy="see whether it is read-only, full, or a standby; then what its log says",
    )
