"""Who may write an entry, and who comes too late."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from caching import compute, operations, warming
from caching.models import CacheEntry, CacheTarget
from caching.storing import Warmed
from caching.warmers.entry import Computed
from rollout.actors import SYSTEM
from rollout.models import Activation

pytestmark = pytest.mark.django_db


def outcomes(done: Iterable[Warmed]) -> set[str]:
    return {warmed.outcome.value for warmed in done}


def target(key: str) -> CacheTarget:
    return next(found for found in CacheTarget.objects.all() if found.cache_key == key)


def test_switched_off_during_a_computation_it_writes_nothing(season: None, monkeypatch: pytest.MonkeyPatch) -> None:
    real = compute.compute

    def switched_off(*args: Any) -> Computed:
        Activation.objects.filter(part="warming").update(is_on=False)
        return real(*args)

    monkeypatch.setattr(warming, "compute", switched_off)
    [done] = warming.warm([target("factor:nba:model:v2.1")], actor=SYSTEM)
    assert (done.outcome, CacheEntry.objects.count()) == ("off", 0)
    assert target("factor:nba:model:v2.1").last_error == "warming was switched off"


def test_one_worker_computes_at_a_time(season: None) -> None:
    one = target("factor:nba:model:v2.1")
    CacheTarget.objects.filter(pk=one.pk).update(lease_until=Now() + timedelta(seconds=30))
    assert outcomes(warming.warm([one], actor=SYSTEM)) == {"busy"}
    CacheTarget.objects.filter(pk=one.pk).update(lease_until=Now() - timedelta(seconds=1))
    assert outcomes(warming.warm([one], actor=SYSTEM)) == {"written"}


def test_a_late_writer_is_refused(season: None, monkeypatch: pytest.MonkeyPatch) -> None:
    one, real = target("factor:nba:model:v2.1"), compute.compute

    def overtaken(*args: Any) -> Computed:
        CacheTarget.objects.filter(pk=one.pk).update(fence=99)
        return real(*args)

    monkeypatch.setattr(warming, "compute", overtaken)
    assert outcomes(warming.warm([one], actor=SYSTEM)) == {"busy"}
    assert not CacheEntry.objects.exists()


def test_an_entry_that_the_database_refuses_costs_no_other(season: None, monkeypatch: pytest.MonkeyPatch) -> None:
    real = compute.compute

    def too_sure(wanted: CacheTarget, *args: Any) -> Computed:
        computed = real(wanted, *args)
        return replace(computed, confidence=2.0) if wanted.sport == "NHL" else computed

    monkeypatch.setattr(warming, "compute", too_sure)
    done = {warmed.cache_key: warmed for warmed in warming.warm(operations.targets(), actor=SYSTEM)}
    refused = done.pop("factor:nhl:model:v1.5")
    assert refused.outcome == "failed"
    assert "cache_entry_confidence_0_to_1" in target("factor:nhl:model:v1.5").last_error
    assert outcomes(done.values()) == {"written"}
    assert CacheEntry.objects.count() == 24


def test_a_warmer_of_a_version_no_longer_wanted_writes_nothing(season: None, monkeypatch: pytest.MonkeyPatch) -> None:
    one, real = target("factor:nba:model:v2.1"), compute.compute

    def overtaken(*args: Any) -> Computed:
        row = target("factor:nba:model:v2.1")
        row.model_version = "v3"
        operations.save(row, actor=SYSTEM)
        monkeypatch.setattr(warming, "compute", real)
        assert outcomes(warming.warm([row], actor=SYSTEM)) == {"written"}  # it need not wait for the old one
        return real(*args)

    monkeypatch.setattr(warming, "compute", overtaken)
    assert outcomes(warming.warm([one], actor=SYSTEM)) == {"busy"}
    assert list(CacheEntry.objects.values_list("cache_key", flat=True)) == ["factor:nba:model:v3"]
