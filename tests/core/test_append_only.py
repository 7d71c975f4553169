"""Append-only tables accept inserts, and deletions of rows that are older than the retention."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from core.db.append_only import FLAG, allow_rewrite
from providers import operations
from providers.models import StatusChange

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_flag(db: None) -> None:
    """Take the right to rewrite, which all connections of the tests have, from this test's connection."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {FLAG} = off")


@pytest.fixture
def change(no_flag: None) -> StatusChange:
    return StatusChange.objects.create(
        provider_name="stub", sport="NBA", from_status="inactive", to_status="active", cause="a test", actor="nobody"
    )


def age(days: int) -> None:
    """Move the rows into the past."""
    allow_rewrite()
    StatusChange.objects.update(changed_at=Now() - timedelta(days=days))
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {FLAG} = off")


def test_a_row_is_not_changed(change: StatusChange) -> None:
    with pytest.raises(DatabaseError, match="providers_statuschange is append-only"), transaction.atomic():
        StatusChange.objects.update(cause="another")


def test_a_row_is_not_deleted(change: StatusChange) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        StatusChange.objects.all().delete()


def test_a_table_is_not_truncated(change: StatusChange) -> None:
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("TRUNCATE providers_statuschange")


def test_a_row_that_is_older_than_the_retention_may_be_deleted(change: StatusChange) -> None:
    age(days=StatusChange.KEEP_DAYS + 1)
    StatusChange.objects.all().delete()
    assert not StatusChange.objects.exists()


def test_pruning_deletes_only_rows_that_are_older_than_the_retention(change: StatusChange) -> None:
    age(days=StatusChange.KEEP_DAYS + 1)
    StatusChange.objects.create(
        provider_name="stub", sport="NBA", from_status="active", to_status="error", cause="new", actor="nobody"
    )
    assert operations.prune() == 1
    assert StatusChange.objects.get().cause == "new"


def test_the_flag_lasts_for_its_transaction_only(change: StatusChange) -> None:
    with transaction.atomic():
        allow_rewrite()
        StatusChange.objects.update(cause="corrected")
    assert StatusChange.objects.get().cause == "corrected"
