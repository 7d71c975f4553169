"""The worker that may store an entry, and the ones that are too late."""

import io
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from caching import operations
from caching.choices import ValueState
from caching.derivations.result import Computed
from caching.models import CacheEntry, CacheTarget
from caching.tiers.entries import ENTRIES
from caching.warming import compute, warm
from caching.warming.results import WarmResult
from core.access.actors import SYSTEM
from providers.gamelogs.operations import import_file
from rollout.models import Activation
from tests import databases
from tests.conftest import committed
from tests.processes import until

pytestmark = pytest.mark.django_db
NEWER = b"date,game,player,points,rebounds\n2026-01-06,new,LeBron James,28,8\n"


def outcomes(results: Iterable[WarmResult]) -> set[str]:
    return {result.outcome.value for result in results}


def target(key: str) -> CacheTarget:
    return next(target for target in CacheTarget.objects.all() if target.cache_key == key)


def test_a_worker_that_is_switched_off_during_a_computation_stores_nothing(
    season: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compute.compute

    def switched_off(*args: Any) -> Computed:
        Activation.objects.filter(part="warming").update(is_on=False)
        return real(*args)

    monkeypatch.setattr(warm, "compute", switched_off)
    [result] = warm.warm([target("factor:nba:model:v2.1")], actor=SYSTEM)
    assert (result.outcome, CacheEntry.objects.count()) == ("off", 0)
    assert target("factor:nba:model:v2.1").last_error == "warming was switched off"


def test_one_worker_computes_at_a_time(season: None) -> None:
    one = target("factor:nba:model:v2.1")
    CacheTarget.objects.filter(pk=one.pk).update(lease_until=Now() + timedelta(seconds=30))
    assert outcomes(warm.warm([one], actor=SYSTEM)) == {"busy"}
    CacheTarget.objects.filter(pk=one.pk).update(lease_until=Now() - timedelta(hours=1))
    assert outcomes(warm.warm([one], actor=SYSTEM)) == {"written"}


def test_a_late_writer_is_refused(season: None, monkeypatch: pytest.MonkeyPatch) -> None:
    one, real = target("factor:nba:model:v2.1"), compute.compute

    def overtaken(*args: Any) -> Computed:
        CacheTarget.objects.filter(pk=one.pk).update(fence=99)
        return real(*args)

    monkeypatch.setattr(warm, "compute", overtaken)
    assert outcomes(warm.warm([one], actor=SYSTEM)) == {"busy"}
    assert not CacheEntry.objects.exists()


def test_an_entry_that_the_database_refuses_costs_no_other(season: None, monkeypatch: pytest.MonkeyPatch) -> None:
    real = compute.compute

    def too_confident(wanted: CacheTarget, *args: Any) -> Computed:
        computed = real(wanted, *args)
        return replace(computed, confidence=2.0) if wanted.sport == "NHL" else computed

    monkeypatch.setattr(warm, "compute", too_confident)
    results = {result.cache_key: result for result in warm.warm(operations.find_targets(), actor=SYSTEM)}
    refused = results.pop("factor:nhl:model:v1.5")
    assert refused.outcome == "failed"
    assert "cache_entry_confidence_0_to_1" in target("factor:nhl:model:v1.5").last_error
    assert outcomes(results.values()) == {"written"}
    assert CacheEntry.objects.count() == 24


def test_a_worker_with_a_version_that_is_no_longer_wanted_stores_nothing(
    season: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, real = target("factor:nba:model:v2.1"), compute.compute

    def overtaken(*args: Any) -> Computed:
        row = target("factor:nba:model:v2.1")
        row.model_version = "v3"
        operations.save_configuration(row, actor=SYSTEM)
        monkeypatch.setattr(warm, "compute", real)
        assert outcomes(warm.warm([row], actor=SYSTEM)) == {"written"}  # it does not wait for the other worker
        return real(*args)

    monkeypatch.setattr(warm, "compute", overtaken)
    assert outcomes(warm.warm([one], actor=SYSTEM)) == {"busy"}
    assert list(CacheEntry.objects.values_list("cache_key", flat=True)) == ["factor:nba:model:v3"]


@committed
def test_an_entry_that_was_computed_from_old_box_scores_is_not_stored(
    nba: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compute.compute
    imports: list[object] = []

    def overtaken(*args: Any) -> Computed:
        computed = real(*args)
        if not imports:
            imports.append(import_file(io.BytesIO(NEWER), "NBA", actor=SYSTEM))
        return computed

    monkeypatch.setattr(warm, "compute", overtaken)
    assert outcomes(warm.warm(operations.find_targets(sport="NBA"), actor=SYSTEM)) == {"busy"}
    assert operations.warm_due(actor=SYSTEM) >= 8
    newest = {entry.context_json["newest"] for entry in CacheEntry.objects.filter(sport="NBA")}
    assert newest == {"2026-01-06"}


@committed
def test_a_connection_that_breaks_during_a_computation_costs_nothing(
    nba: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, real = target("factor:nba:model:v2.1"), compute.compute

    def broken(*args: Any) -> Computed:
        computed = real(*args)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend = cursor.fetchone()[0]
        databases.end_session(backend)
        return computed

    monkeypatch.setattr(warm, "compute", broken)
    assert outcomes(warm.warm([one], actor=SYSTEM)) == {"written"}


@committed
def test_a_target_that_is_deleted_while_its_entry_is_stored_is_served_no_more(nba: None) -> None:
    one = target("factor:nba:model:v2.1")
    assert until(lambda: ENTRIES.subscription.is_up)
    with transaction.atomic():
        CacheTarget.objects.select_for_update().get(pk=one.pk)
        deletion = threading.Thread(target=delete, args=(one.pk,))
        deletion.start()
        with connection.cursor() as cursor:
            assert until(lambda: waits_for_a_lock(cursor))
        warm.warm([one], actor=SYSTEM)
    deletion.join()
    assert ENTRIES.get(one.about).state is ValueState.MISSING


def delete(pk: int) -> None:
    operations.delete_targets([pk], actor=SYSTEM)
    connection.close()


def waits_for_a_lock(cursor: Any) -> bool:
    cursor.execute("SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")
    return bool(cursor.rowcount)
