"""Leases with fencing tokens: one worker at a time works on a row, and a worker that lost its lease changes nothing.

A leased table has the columns `id`, `fence` (bigint, one more with every claim) and `lease_until` (timestamptz; the row
is free if it is NULL or past). The worker that claimed a row names the fence in every later statement: if its lease
expired and another worker claimed the row, that statement finds no row. Time is the database's own clock.

Four modules take leases: providers/polling/claims.py, caching/warming/leases.py, caching/warming/requests.py and
rollout/recovery/runner.py.

Sources: Gray and Cheriton 1989, "Leases", SOSP '89; fencing tokens: Kleppmann 2017, "Designing Data-Intensive
Applications", chapter 8.
"""

from dataclasses import dataclass

from django.db import connection

from core.db import sql


def is_free(alias: str) -> str:
    """Return the SQL condition that no worker holds a lease on the row."""
    return sql.IS_FREE.format(alias=alias)


def claim(table: str, alias: str, candidates: str, *, length: str = sql.LEASE_LENGTH, returning: str = "") -> str:
    """Return the statement that leases free rows. Each of its result rows begins with id and fence.

    candidates: a SELECT of the column `id` from the table under its alias, without FOR UPDATE. Its WHERE contains
    `is_free(alias)`.
    length: the lease's length as an SQL interval. By default the statement takes the parameter `lease_seconds`.
    returning: further columns of the result, separated by commas.
    """
    further = f", {returning}" if returning else ""
    return sql.CLAIM.format(table=table, alias=alias, candidates=candidates, length=length, returning=further)


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that a worker claimed: the row by its table and id, and the fence of the claim."""

    table: str
    id: int
    fence: int

    def hold(self) -> bool:
        """Lock the row for the rest of this transaction. Return whether the lease is still this worker's."""
        return self._run(sql.HOLD)

    def renew(self, seconds: float) -> bool:
        """Extend the lease to `seconds` from now. Return whether it is still this worker's."""
        return self._run(sql.RENEW, seconds)

    def release(self) -> bool:
        """Make the row free. Return whether the lease was still this worker's."""
        return self._run(sql.RELEASE)

    def _run(self, statement: str, seconds: float = 0.0) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                statement.format(table=self.table), {"id": self.id, "fence": self.fence, "lease_seconds": seconds}
            )
            return bool(cursor.rowcount)
