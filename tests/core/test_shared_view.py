"""Several connections see the database as it was when one of them exported its view."""

from collections.abc import Iterator

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from caching.models import WarmUp
from core.db.shared_view import adopt_view, export_view, take_view
from tests import databases
from tests.conftest import committed

pytestmark = committed
COUNT = "SELECT count(*) FROM caching_warmup"
INSERT = "INSERT INTO caching_warmup (targets, total, done, failed, requested_by) VALUES ('{1}', 1, 0, 0, 'anna')"


@pytest.fixture
def writer() -> Iterator["psycopg.Connection[tuple[int]]"]:
    with psycopg.connect(databases.address(), autocommit=True) as other:
        yield other


def count(cursor: "psycopg.Cursor[tuple[int]]") -> int:
    [row] = cursor.execute(COUNT).fetchall()
    return row[0]


def test_a_second_connection_sees_the_exported_view(writer: "psycopg.Connection[tuple[int]]") -> None:
    writer.execute(INSERT)
    with transaction.atomic(), connection.cursor() as cursor:
        view = export_view(cursor)
        writer.execute(INSERT)
        with psycopg.connect(databases.address()) as reader, reader.cursor() as adopting:
            adopt_view(adopting, view.name)
            assert count(adopting) == 1
        assert count(writer.cursor()) == 2
        assert WarmUp.objects.count() == 1
    assert WarmUp.objects.count() == 2


def test_the_view_is_taken_after_its_setup(writer: "psycopg.Connection[tuple[int]]") -> None:
    """A table that the setup locks is not altered while the view exists."""
    writer.execute("SET lock_timeout = '50ms'")
    with transaction.atomic(), connection.cursor() as cursor:
        export_view(cursor, ["LOCK TABLE caching_warmup IN ACCESS SHARE MODE"])
        with pytest.raises(psycopg.errors.LockNotAvailable):
            writer.execute("ALTER TABLE caching_warmup ADD COLUMN extra int")


def test_the_moment_is_the_databases(writer: "psycopg.Connection[tuple[int]]") -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        view = export_view(cursor)
        [(now,)] = cursor.execute("SELECT now()").fetchall()
        assert view.moment == now
    assert WarmUp.objects.filter(requested_at__lt=Now()).count() == 0


def test_a_view_is_read_only() -> None:
    with pytest.raises(DatabaseError, match="read-only"), transaction.atomic(), connection.cursor() as cursor:
        take_view(cursor)
        cursor.execute(INSERT)
