"""What is in a table: its rows in a fixed order, and a hash of them, both as the database gives them."""

from collections.abc import Mapping, Sequence

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import CharField

from rollout.recovery.postgres import sql
from rollout.recovery.protect import Protection, protected


def copy_out(protection: Protection, columns: Sequence[str], place: str) -> str:
    key = protection.model._meta.pk
    is_text = isinstance(key, CharField)
    return sql.copy_out(place, columns, key.column, is_text=is_text)


def content_hash(place: str, columns: Mapping[str, str]) -> str:
    """Of all rows in whatever order; two equal tables have the same one. place: the table, quoted. columns: with their
    types.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.content_hash(place, columns))
        return str(cursor.fetchone()[0])


def schema() -> dict[str, str]:
    """The last migration of each app that has protected tables."""
    apps = {protection.model._meta.app_label for protection in protected()}
    return {app: name for app, name in sorted(known_migrations()) if app in apps}


def known_migrations() -> set[tuple[str, str]]:
    """Those that the database has."""
    return set(MigrationRecorder(connection).applied_migrations())
