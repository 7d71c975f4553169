"""Warming: which entries are written, and when."""

import hashlib
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from caching import operations
from caching.derivations.payloads import FactorPayload
from caching.derivations.result import Computed
from caching.models import CacheEntry, CachePolicy, CacheTarget, PortfolioRationale
from caching.warming import warm
from caching.warming.results import WarmResult
from core.access.actors import SYSTEM
from core.errors import Refused
from providers.gamelogs.operations import import_file
from providers.models import GameLog
from rollout.models import Activation

pytestmark = pytest.mark.django_db


def warm_all(**options: Any) -> list[WarmResult]:
    return warm.warm(operations.find_targets(), actor=SYSTEM, **options)


def outcomes(results: list[WarmResult]) -> set[str]:
    return {result.outcome.value for result in results}


def target(key: str) -> CacheTarget:
    return next(target for target in CacheTarget.objects.all() if target.cache_key == key)


def test_there_are_25_targets_and_three_policies() -> None:
    counts = [CacheTarget.objects.filter(cache_type=policy.pk).count() for policy in CachePolicy.objects.order_by("pk")]
    assert counts == [15, 4, 6]
    assert [policy.ttl_hours for policy in CachePolicy.objects.order_by("pk")] == [3, 6, 1]
    assert {t.model_version for t in CacheTarget.objects.filter(cache_type="CACHE_FACTOR")} == {
        *("v2.1", "v1.8", "v3.0", "v1.5")
    }


def test_a_warm_up_leaves_25_entries(season: None) -> None:
    assert outcomes(warm_all()) == {"written"}
    entries = list(CacheEntry.objects.all())
    assert len(entries) == 25
    for entry in entries:
        payload = json.loads(entry.data_json)
        assert payload["source"] == "stub"
        assert entry.data_hash == hashlib.sha256(entry.data_json.encode()).hexdigest()
        assert entry.size_bytes == len(entry.data_json.encode())
        assert (
            entry.cache_key
            == f"{entry.cache_key.split(':')[0]}:{entry.sport.lower()}:{entry.subject}:{entry.model_version}"
        )
        assert 0 <= entry.confidence <= 1
        assert entry.context_json["newest"] == str(GameLog.objects.latest("played_on").played_on)
        assert timedelta(0) < entry.soft_expires_at - entry.updated_at < entry.expires_at - entry.updated_at
    ttl = {entry.cache_type: entry.ttl_seconds for entry in entries}
    assert ttl == {"CACHE_CORRELATION": 10800, "CACHE_FACTOR": 21600, "CACHE_PLAYER": 3600}
    lebron = CacheEntry.objects.get(cache_key="player:nba:lebron-james:v1")
    assert len(json.loads(lebron.data_json)["projections"]) == 15
    assert PortfolioRationale is CacheEntry


COLUMNS = """
id cache_key cache_type data_json sport subject model_version data_hash context_json narrative key_points confidence
sample_size generation_time_ms size_bytes hit_count last_accessed_at soft_expires_at expires_at ttl_seconds is_flagged
version created_at updated_at"""


def test_the_table_has_exactly_its_24_columns() -> None:
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, "portfolio_rationales")
    assert sorted(column.name for column in columns) == sorted(COLUMNS.split())


def test_a_fresh_entry_is_not_computed_again(season: None) -> None:
    warm_all()
    assert outcomes(warm_all()) == {"unchanged"}
    assert operations.warm_due(actor=SYSTEM) == 0


def test_an_unchanged_result_is_no_new_version_but_lives_longer(season: None) -> None:
    warm_all()
    CacheEntry.objects.update(soft_expires_at=Now(), expires_at=Now() + timedelta(minutes=1))
    assert operations.warm_due(actor=SYSTEM) == 25
    assert set(CacheEntry.objects.values_list("version", flat=True)) == {1}
    assert not CacheEntry.objects.filter(soft_expires_at__lte=Now()).exists()


def test_another_result_is_a_new_version(season: None) -> None:
    warm_all()
    GameLog.objects.filter(sport="NBA", player="LeBron James").update(stats={"points": 99})
    results = warm_all(force=True)
    assert {result.cache_key for result in results if result.outcome == "written"} >= {
        "player:nba:lebron-james:v1",
        "correlation:nba:points:v1",
    }
    assert CacheEntry.objects.get(cache_key="player:nba:lebron-james:v1").version == 2
    assert CacheEntry.objects.get(cache_key="correlation:mlb:hits:v1").version == 1


def test_a_derivation_that_fails_keeps_the_old_value(season: None, monkeypatch: pytest.MonkeyPatch) -> None:
    warm_all()
    before = list(CacheEntry.objects.values())

    def broken(*args: object) -> Computed:
        raise ZeroDivisionError

    monkeypatch.setattr(warm, "compute", broken)
    assert outcomes(warm_all(force=True)) == {"failed"}
    assert list(CacheEntry.objects.values()) == before
    assert set(CacheTarget.objects.values_list("last_error", flat=True)) == {
        "unexpected ZeroDivisionError in the derivation"
    }
    monkeypatch.undo()
    warm_all(force=True)
    assert set(CacheTarget.objects.values_list("last_error", flat=True)) == {""}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("CACHE_PLAYER", "NBA", "nobody", "Nobody"), "no game of Nobody"),
        (
            ("CACHE_CORRELATION", "NBA", "luck", "luck"),
            "statistic must be one of points, rebounds, assists",
        ),
        (("CACHE_FACTOR", "CURLING", "model", "model"), "sport must be one of NBA, MLB, NFL, NHL (got CURLING)"),
    ],
)
def test_a_target_with_an_unknown_name_fails_with_the_reason(season: None, row: tuple[str, ...], problem: str) -> None:
    names = ("cache_type", "sport", "subject", "name")
    made = CacheTarget.objects.create(**dict(zip(names, row, strict=True)))
    [result] = warm.warm([made], actor=SYSTEM)
    assert result.outcome == "failed"
    made.refresh_from_db()
    assert problem in made.last_error
    assert not CacheEntry.objects.exists()


def test_a_payload_with_nan_or_infinity_is_not_written(season: None, monkeypatch: pytest.MonkeyPatch) -> None:
    one = target("factor:nba:model:v2.1")
    for number in (float("nan"), float("inf")):
        payload = FactorPayload("stub", 1, [], [], [[number]])
        monkeypatch.setattr(warm, "compute", lambda *args, p=payload: Computed(p, "", [], 0.5, 1, {}))
        assert outcomes(warm.warm([one], actor=SYSTEM)) == {"failed"}
    assert not CacheEntry.objects.exists()
    assert target("factor:nba:model:v2.1").last_error == "unexpected ValueError in the derivation"


def test_a_target_that_was_added_becomes_an_entry(season: None) -> None:
    warm_all()
    CacheTarget.objects.create(cache_type="CACHE_PLAYER", sport="NBA", subject="nikola-jokic", name="Nikola Jokic")
    assert operations.warm_due(actor=SYSTEM) == 1
    assert CacheEntry.objects.filter(cache_key="player:nba:nikola-jokic:v1").exists()


def test_new_box_scores_make_their_sports_entries_due(season: None) -> None:
    warm_all()
    file = io.BytesIO(b"date,game,player,points,rebounds\n2026-01-05,g1,LeBron James,28,8\n")
    import_file(file, "NBA", actor=SYSTEM, dry_run=True)
    assert operations.warm_due(actor=SYSTEM) == 0
    file.seek(0)
    import_file(file, "NBA", actor=SYSTEM)
    assert operations.warm_due(actor=SYSTEM) == CacheTarget.objects.filter(sport="NBA").count() == 8
    file.seek(0)
    import_file(file, "NBA", actor=SYSTEM)  # the file has no new row
    assert not CacheEntry.objects.filter(soft_expires_at__lte=Now()).exclude(sport="NBA").exists()


def test_no_entry_is_written_while_warming_is_off(season: None) -> None:
    Activation.objects.filter(part="warming").update(is_on=False)
    with pytest.raises(Refused, match="reactivate warming"):
        warm_all()
    assert operations.warm_due(actor=SYSTEM) == 0
    assert not CacheEntry.objects.exists()


def test_expiry_waits_for_the_grace_and_leaves_flagged_ones(season: None) -> None:
    warm_all()
    CacheEntry.objects.update(soft_expires_at=Now() - timedelta(hours=26), expires_at=Now() - timedelta(hours=25))
    CacheEntry.objects.filter(sport="NBA").update(is_flagged=True)
    CacheEntry.objects.filter(sport="MLB").update(expires_at=Now() - timedelta(hours=23))
    assert (
        operations.count_expirable()
        == operations.expire(2, actor=SYSTEM)
        == CacheEntry.objects.filter(sport="NFL").count() + 9
    )
    assert set(CacheEntry.objects.values_list("sport", flat=True)) == {"NBA", "MLB"}


def test_the_command_prints_its_results(season: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("warm_caches", "--type", "player", "--sport", "nba", "--json")
    entries = json.loads(capsys.readouterr().out)["entries"]
    assert {entry["cache_key"] for entry in entries} == {"player:nba:lebron-james:v1", "player:nba:luka-doncic:v1"}
    assert {entry["outcome"] for entry in entries} == {"written"}
    assert all(entry["sample_size"] == 10 and entry["ms"] > 0 for entry in entries)
    call_command("warm_caches", "--dry-run", "--json")
    assert len(json.loads(capsys.readouterr().out)["targets"]) == 25
    call_command("expire_caches", "--dry-run", "--json")
    assert json.loads(capsys.readouterr().out) == {"expired": 0, "dry_run": True}


def test_the_command_fails_if_a_target_cannot_be_computed(fleet: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        call_command("warm_caches", "--sport", "NBA")
    assert "no game of NBA" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no target matches"):
        call_command("warm_caches", "--sport", "CURLING")


@pytest.mark.parametrize("page", ["cacheentry", "cachetarget", "cachepolicy"])
def test_the_admin_shows_them(page: str, season: None, browse: Callable[[str], Client]) -> None:
    warm_all()
    html = browse("Viewer").get(f"/admin/caching/{page}/").content.decode()
    texts = {"cacheentry": "fresh", "cachetarget": "player:nba:lebron-james:v1", "cachepolicy": "Factor model"}
    assert texts[page] in html


@pytest.mark.parametrize("verb", ["warm_cachetarget", "expire_cacheentry", "flag_cacheentry"])
def test_verbs_ask_first_and_need_their_permission(verb: str, season: None, browse: Callable[[str], Client]) -> None:
    warm_all()
    entry = CacheEntry.objects.latest("pk")
    choice = {"action": verb, "_selected_action": [entry.pk]}
    client = browse("Operator")
    assert "Go back" in client.post("/admin/caching/cacheentry/", choice).content.decode()
    client.post("/admin/caching/cacheentry/", choice | {"confirmed": "yes"})
    entry.refresh_from_db()
    stale = CacheEntry.objects.filter(pk=entry.pk, expires_at__lte=Now()).exists()
    assert (entry.is_flagged, stale) == (verb == "flag_cacheentry", verb == "expire_cacheentry")
    with pytest.raises(Refused):
        operations.flag([entry.pk], actor=User.objects.create_user("nobody"))


def test_edits_are_audited_with_their_actor(season: None, browse: Callable[[str], Client]) -> None:
    admin, one = browse("Admin"), target("factor:nba:model:v2.1")
    form = {"cache_type": one.cache_type, "sport": "NBA", "subject": "model", "name": "model", "model_version": "v7"}
    assert admin.post(f"/admin/caching/cachetarget/{one.pk}/change/", form | {"is_enabled": "on"}).status_code == 302
    assert target("factor:nba:model:v7").pk == one.pk
    admin.post(
        "/admin/caching/cachepolicy/CACHE_PLAYER/change/", {"ttl_hours": 2, "soft_fraction": 1, "grace_hours": 0}
    )
    assert CachePolicy.objects.get(pk="CACHE_PLAYER").ttl_hours == 2
    with connection.cursor() as cursor:
        cursor.execute("SELECT metadata ->> 'actor', metadata ->> 'verb' FROM pghistory_context")
        assert set(cursor.fetchall()) >= {("admin", "change")}
    admin.post(
        "/admin/caching/cachetarget/", {"action": "delete_selected", "_selected_action": [one.pk], "post": "yes"}
    )
    assert not CacheTarget.objects.filter(pk=one.pk).exists()
