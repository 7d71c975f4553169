"""Warm-ups that operators request."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from caching import operations
from caching.choices import WarmOutcome
from caching.models import CacheEntry, CacheTarget, WarmUp
from caching.warming import requests, warm
from caching.warming.results import WarmResult
from core.access.actors import SYSTEM
from core.errors import Refused
from rollout.models import Activation

pytestmark = pytest.mark.django_db


def test_a_warm_up_shows_its_progress_and_outlives_its_worker(season: None, browse: Callable[[str], Client]) -> None:
    chosen = list(operations.find_targets(sport="NBA").values_list("pk", flat=True))
    assert operations.warm_targets(chosen, actor=SYSTEM) == 8
    [row] = WarmUp.objects.all()
    WarmUp.objects.update(done=3, lease_until=Now() + timedelta(seconds=30), fence=1)  # a worker carries it out
    assert requests.carry_out_warm_ups() == 0
    page = browse("Viewer").get("/admin/caching/warmup/").content.decode()
    assert 'max="8" value="3"' in page
    assert 'hx-trigger="every 3s' in page
    WarmUp.objects.update(lease_until=Now() - timedelta(hours=1))  # that worker died
    CacheTarget.objects.filter(pk=chosen[4]).delete()
    assert requests.carry_out_warm_ups() == 1
    row.refresh_from_db()
    assert (row.done, row.failed, row.ended_at is not None) == (8, 0, True)
    assert CacheEntry.objects.count() == 4
    assert requests.carry_out_warm_ups() == 0


def test_a_worker_leaves_a_warm_up_to_the_worker_that_took_it_over(
    season: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations.warm_targets(operations.find_targets(sport="NBA").values_list("pk", flat=True), actor=SYSTEM)

    def overtaken(*args: Any, **options: Any) -> Iterator[WarmResult]:
        WarmUp.objects.update(fence=99, lease_until=Now() + timedelta(seconds=30))
        yield WarmResult(CacheTarget(), WarmOutcome.WRITTEN)

    monkeypatch.setattr(requests, "warm_each", overtaken)
    assert requests.carry_out_warm_ups() == 1
    assert WarmUp.objects.get().done == 0


def test_the_rest_of_a_warm_up_fails_when_warming_is_switched_off(season: None) -> None:
    operations.warm_targets([CacheTarget.objects.latest("pk").pk], actor=SYSTEM)
    Activation.objects.filter(part="warming").update(is_on=False)
    requests.carry_out_warm_ups()
    row = WarmUp.objects.get()
    assert (row.done, row.failed, row.ended_at is not None) == (1, 1, True)
    with pytest.raises(Refused, match="reactivate warming"):
        operations.warm_targets([1], actor=SYSTEM)


def test_two_entries_of_a_target_are_one_computation(season: None) -> None:
    one = CacheTarget.objects.get(cache_type="CACHE_FACTOR", sport="NBA")
    for version in ("v2.1", "v9"):
        CacheTarget.objects.filter(pk=one.pk).update(model_version=version)
        warm.warm(CacheTarget.objects.filter(pk=one.pk), actor=SYSTEM)
    assert operations.warm_entries(CacheEntry.objects.values_list("pk", flat=True), actor=SYSTEM) == 1
    assert requests.carry_out_warm_ups() == 1
    assert WarmUp.objects.get().done == 1
