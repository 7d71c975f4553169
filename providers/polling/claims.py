"""Claims of poll slots: which slots this worker may poll, for how long, and whether their upstreams can be called."""

import json
import os
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from core.db.leases import Lease
from providers.adapter_names import AdapterUnusable
from providers.adapters import find_upstream
from providers.fleet.backfill import Scope
from providers.models import PollSlot
from providers.polling import sql
from providers.polling.schedule import HORIZON
from providers.upstream.messages import Claim

STORING = timedelta(seconds=15)  # the part of a lease in which the answer is stored
BATCH = 500  # slots that one statement claims


def claim_due(*, horizon: timedelta = HORIZON, scope: Scope = Scope(), everything: bool = False) -> list[Claim]:
    """Claim the slots that fall due within the horizon. If `everything` is set, also claim slots that are not due."""
    params: dict[str, Any] = {
        "horizon": horizon,
        "storing": STORING,
        "batch": BATCH,
        "everything": everything,
        "sport": scope.sport,
        "provider": scope.provider,
    }
    claims: list[Claim] = []
    with connection.cursor() as cursor:
        while True:
            sent_at = time.monotonic()
            cursor.execute(sql.CLAIM_DUE, params)
            # The database's now() is between sending and receiving; the middle has the smallest possible error.
            claimed_at = (sent_at + time.monotonic()) / 2
            claims += [_to_claim(row, claimed_at) for row in cursor.fetchall()]
            if cursor.rowcount < BATCH:
                return claims


def _to_claim(row: tuple[Any, ...], claimed_at: float) -> Claim:
    *columns, members = row
    values: list[Any] = [*columns, json.loads(members), claimed_at]  # in the order of the fields of Claim
    return Claim(*values)


def release(claim: Claim) -> bool:
    """Make the slot free for other workers. Return whether the lease was still the claim's."""
    return Lease(PollSlot._meta.db_table, claim.slot, claim.fence).release()


def find_obstacle(claim: Claim) -> str:
    """Return why the upstream cannot be called at all, or "" if it can be called."""
    try:
        upstream = find_upstream(claim.adapter)
    except AdapterUnusable as error:
        return str(error)
    if not claim.members:
        return "no enabled provider state uses this slot any more"
    if claim.sport not in upstream.sports:
        return f"{claim.adapter} does not cover {claim.sport}"
    if claim.credential_env and not os.environ.get(claim.credential_env):
        return f"{claim.credential_env} is not set"
    if not claim.base_url and not settings.STUB_FEED_URL:
        return "STUB_FEED_URL is not set"
    return ""
