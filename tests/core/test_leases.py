"""A row is leased to one worker at a time, and a worker whose lease expired changes nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from caching.models import WarmUp
from core.db.leases import Lease, claim, is_free
from tests import databases
from tests.conftest import committed

TABLE, ALIAS = "caching_warmup", "warm_up"
CLAIM = claim(
    TABLE,
    ALIAS,
    f"SELECT id FROM {TABLE} {ALIAS} WHERE {is_free(ALIAS)} ORDER BY id LIMIT %(batch)s",
    returning=f"{ALIAS}.requested_by",
)


def make_rows(count: int) -> list[int]:
    rows = [WarmUp(targets=[1], total=1, requested_by="anna") for _ in range(count)]
    return [row.pk for row in WarmUp.objects.bulk_create(rows)]


def claim_rows(batch: int = 1) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"batch": batch, "lease_seconds": 30})
        return list(cursor.fetchall())


def claim_one() -> Lease:
    [(pk, fence, _)] = claim_rows()
    return Lease(TABLE, pk, fence)


def expire() -> None:
    """Move the rows: each lease ended one second ago by the database's clock."""
    WarmUp.objects.filter(lease_until__isnull=False).update(lease_until=Now() - timedelta(seconds=1))


def seconds_left(lease: Lease) -> float:
    left = WarmUp.objects.annotate(left=F("lease_until") - Now()).values_list("left", flat=True).get(pk=lease.id)
    return float(left.total_seconds())


@committed
def test_two_workers_claim_each_row_once() -> None:
    rows, together = make_rows(60), threading.Barrier(2)

    def claim_all() -> list[int]:
        claimed: list[int] = []
        try:
            together.wait(30)
            while batch := claim_rows(2):
                claimed += [pk for pk, _, _ in batch]
            return claimed
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: claim_all(), range(2))
    assert sorted(one + other) == rows


@committed
def test_a_second_worker_takes_the_next_rows_instead_of_waiting() -> None:
    first, second = make_rows(2)
    with psycopg.connect(databases.address()) as other:
        [claimed] = other.execute(CLAIM, {"batch": 1, "lease_seconds": 30}).fetchall()
        assert claimed[0] == first
        assert claim_one().id == second, "while the other worker's transaction is open"


@pytest.mark.django_db
def test_a_claim_returns_the_fence_and_the_further_columns() -> None:
    [row] = make_rows(1)
    assert claim_rows() == [(row, 1, "anna")]


@pytest.mark.django_db
def test_a_leased_row_is_claimed_again_when_the_lease_has_expired() -> None:
    make_rows(1)
    first = claim_one()
    assert 0 < seconds_left(first) <= 30
    assert claim_rows() == []
    expire()
    assert claim_one() == Lease(TABLE, first.id, first.fence + 1)


@pytest.mark.django_db
def test_a_stale_fence_neither_renews_nor_releases_nor_holds() -> None:
    make_rows(1)
    stale = claim_one()
    expire()
    current = claim_one()
    left = seconds_left(current)
    assert not stale.renew(600)
    assert not stale.release()
    with transaction.atomic():
        assert not stale.hold()
    assert seconds_left(current) == pytest.approx(left, abs=5)
    with transaction.atomic():
        assert current.hold()
    assert current.renew(600)
    assert current.release()


@pytest.mark.django_db
def test_an_expired_lease_that_no_worker_claimed_is_still_the_workers() -> None:
    make_rows(1)
    lease = claim_one()
    expire()
    assert lease.renew(600)
    assert seconds_left(lease) > 500
    assert claim_rows() == []


@pytest.mark.django_db
def test_a_released_row_is_free_at_once() -> None:
    make_rows(1)
    lease = claim_one()
    assert lease.release()
    assert claim_one().fence == lease.fence + 1


@committed
def test_a_held_row_is_locked_until_the_transaction_ends() -> None:
    make_rows(1)
    lease = claim_one()
    lock = f"SELECT FROM {TABLE} WHERE id = %s FOR UPDATE NOWAIT"
    with psycopg.connect(databases.address(), autocommit=True) as other:
        with transaction.atomic():
            assert lease.hold()
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(lock, [lease.id])
        assert other.execute(lock, [lease.id]).rowcount == 1


@pytest.mark.django_db
def test_a_length_of_its_own_replaces_the_parameter() -> None:
    make_rows(1)
    statement = claim(TABLE, ALIAS, f"SELECT id FROM {TABLE} {ALIAS} WHERE {is_free(ALIAS)}", length="interval '1 h'")
    with connection.cursor() as cursor:
        cursor.execute(statement)
        [(pk, fence)] = cursor.fetchall()
    assert 3500 < seconds_left(Lease(TABLE, pk, fence)) <= 3600
