"""Append-only tables: triggers refuse every change but an insert."""

import pgtrigger
from django.db import connection

from core.db import sql

FLAG = "slipway.allow_rewrite"


def append_only(*, keep_days: int, column: str) -> list[pgtrigger.Trigger]:
    """Return the triggers for `Meta.triggers` that refuse UPDATE and TRUNCATE, and DELETE of rows within retention.

    keep_days: the retention; older rows may be deleted.
    column: the timestamp that a row's age is counted from.
    A transaction that called `allow_rewrite` may do everything: tests and a restore need it.
    """
    flag = f"IF current_setting('{FLAG}', true) = 'on' THEN "
    refuse = "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';"
    old = f"IF OLD.{column} < now() - interval '{keep_days} days' THEN RETURN OLD; END IF;"
    return [
        pgtrigger.Trigger(
            name="refuse_update",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            func=f"{flag} RETURN NEW; END IF; {refuse}",
        ),
        pgtrigger.Trigger(
            name="refuse_delete",
            when=pgtrigger.Before,
            operation=pgtrigger.Delete,
            func=f"{flag} RETURN OLD; END IF; {old} {refuse}",
        ),
        pgtrigger.Trigger(
            name="refuse_truncate",
            when=pgtrigger.Before,
            operation=pgtrigger.Truncate,
            level=pgtrigger.Statement,
            func=f"{flag} RETURN NULL; END IF; {refuse}",
        ),
    ]


def allow_rewrite() -> None:
    """Let this transaction change and delete rows of append-only tables."""
    with connection.cursor() as cursor:
        cursor.execute(sql.ALLOW_REWRITE, [FLAG])
