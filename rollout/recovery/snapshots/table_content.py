"""The content of a table as the database gives it: its rows in a fixed order, and a hash over them."""

from collections.abc import Mapping, Sequence

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import CharField

from rollout.recovery.postgres import sql
from rollout.recovery.protect import Protection, protected


def copy_out_statement(protection: Protection, columns: Sequence[str], table: str) -> str:
    """Return the COPY statement that reads these columns of the table in the order of its primary key.

    table: quoted.
    """
    key = protection.model._meta.pk
    return sql.copy_out_query(table, columns, key.column, is_text=isinstance(key, CharField))


def content_hash(table: str, columns: Mapping[str, str]) -> str:
    """Return a hash over all rows of the table, in any order. Two tables with equal rows have the same hash.

    table: quoted.
    columns: names and types of the columns that count.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.content_hash_query(table, columns))
        return str(cursor.fetchone()[0])


def last_migrations() -> dict[str, str]:
    """Return the last applied migration of each app that has protected tables."""
    apps = {protection.model._meta.app_label for protection in protected()}
    return {app: name for app, name in sorted(applied_migrations()) if app in apps}


def applied_migrations() -> set[tuple[str, str]]:
    """Return the app and the name of each migration that was applied to the database."""
    return set(MigrationRecorder(connection).applied_migrations())
