"""`manage.py bootstrap` prepares a machine, and is safe to run again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import RequestFactory
from pytest_django import Settings

from caching.models import CacheEntry
from config.bootstrap import collect_static
from providers.models import GameLog, ProviderState
from tests.conftest import committed


@pytest.fixture
def bootstrap(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> Callable[[], dict[str, Any]]:
    settings.STATIC_ROOT = tmp_path_factory.mktemp("static")

    def run() -> dict[str, Any]:
        call_command("bootstrap", "--json")
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return run


@committed
def test_a_second_run_changes_nothing(bootstrap: Callable[[], dict[str, Any]], settings: Settings) -> None:
    first = bootstrap()
    assert first["states_created"] == ProviderState.objects.count() == 28
    assert (
        authenticate(RequestFactory().post("/"), username="admin", password=first["admin"]["password"])
        == User.objects.get()
    )
    assert set(Group.objects.values_list("name", flat=True)) == {"Viewer", "Operator", "Admin"}
    assert (settings.STATIC_ROOT / "slipway" / "slipway.css").exists()
    before = list(ProviderState.objects.values()), list(User.objects.values())
    nothing = {
        "states_created": 0,
        "game_logs_created": 0,
        "entries_warmed": 25,
    }  # it tried 25 targets
    assert bootstrap() == nothing | {"admin": {"username": "admin", "password": None}}
    assert (list(ProviderState.objects.values()), list(User.objects.values())) == before


def test_static_files_are_collected_again_for_another_storage(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATIC_ROOT.mkdir()
    collect_static()
    (settings.STATIC_ROOT / "slipway" / "slipway.css").unlink()
    collect_static()
    assert not (settings.STATIC_ROOT / "slipway" / "slipway.css").exists(), "nothing changed"
    manifest = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": manifest}}
    collect_static()
    assert (settings.STATIC_ROOT / "staticfiles.json").exists()


@committed
def test_it_imports_a_synthetic_season_for_each_sport_without_game_logs(
    bootstrap: Callable[[], dict[str, Any]], settings: Settings
) -> None:
    settings.STUB_FEED_URL = "http://127.0.0.1:9"  # no server runs there: bootstrap starts a stub feed of its own
    document = bootstrap()
    assert document["game_logs_created"] == GameLog.objects.count() > 15_000
    assert document["entries_warmed"] == CacheEntry.objects.count() == 25
    GameLog.objects.exclude(sport="NBA").delete()
    GameLog.objects.filter(sport="NBA").update(source="nflverse")
    bootstrap()
    sources = set(GameLog.objects.values_list("sport", "source"))
    assert sources == {("NBA", "nflverse"), ("MLB", "stub"), ("NFL", "stub"), ("NHL", "stub")}


def permissions(member: User) -> set[str]:
    return {name.split(".")[1] for name in member.get_all_permissions()}


@pytest.mark.django_db
def test_each_group_has_its_permissions(member: Callable[[str], User]) -> None:
    viewer, operator, admin = (permissions(member(group)) for group in ("Viewer", "Operator", "Admin"))
    assert all(name.startswith("view_") for name in viewer)
    assert "view_providerstate" in viewer < operator < admin
    verbs = {f"{verb}_providerstate" for verb in ("enable", "disable", "poll", "maintain", "return")}
    verbs |= {"import_gamelog", "warm_cachetarget", "expire_cacheentry", "flag_cacheentry", "run_validationrun"}
    rollouts = ("start", "advance", "approve", "pause", "resume", "abort", "freeze", "unfreeze", "archive")
    verbs |= {f"{verb}_rollout" for verb in rollouts}
    verbs |= {"reactivate_activation"}
    verbs |= {f"{verb}_snapshot" for verb in ("create", "verify", "prune")}
    recovery = ("emergency", "standard", "gradual", "restore", "purge", "rehearse")
    verbs |= {f"{verb}_recoveryrun" for verb in recovery}
    assert operator - viewer == verbs
    assert {"change_providerstate", "add_provider", "change_user"} <= admin
