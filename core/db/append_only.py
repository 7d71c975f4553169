"""Append-only tables: triggers refuse every change but an insert."""

import pgtrigger
from django.db import connection

from core.db import sql

FLAG = "slipway.allow_rewrite"


def append_only(*, keep_days: int, column: str) -> list[pgtrigger.Trigger]:
    """Return the triggers for `Meta.triggers` that refuse UPDATE and TRUNCATE, and DELETE of rows within retention.

    keep_days: the retention in days; older rows may be deleted.
    column: the timestamp that a row's age is counted from.
    A transaction that called `allow_rewrite` may change and delete every row: tests and a restore need this.
    """
    body = {"flag": FLAG, "refuse": sql.REFUSE_REWRITE, "column": column, "days": keep_days}
    return [
        pgtrigger.Trigger(
            name="refuse_update",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            func=sql.REFUSE_UPDATE.format(**body),
        ),
        pgtrigger.Trigger(
            name="refuse_delete",
            when=pgtrigger.Before,
            operation=pgtrigger.Delete,
            func=sql.REFUSE_DELETE.format(**body),
        ),
        pgtrigger.Trigger(
            name="refuse_truncate",
            when=pgtrigger.Before,
            operation=pgtrigger.Truncate,
            level=pgtrigger.Statement,
            func=sql.REFUSE_TRUNCATE.format(**body),
        ),
    ]


def allow_rewrite() -> None:
    """Let this transaction change and delete rows of append-only tables."""
    with connection.cursor() as cursor:
        cursor.execute(sql.ALLOW_REWRITE, [FLAG])
