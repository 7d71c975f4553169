"""manage.py drive: real requests, counted as they were answered."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from caching.models import CacheTarget
from caching.warming.warm import warm
from core.access.actors import SYSTEM
from rollout.gate.bucketing import bucket
from tests.conftest import committed

Capture = pytest.CaptureFixture[str]


def drive(*args: str) -> None:
    call_command("drive", "--rate", "200", "--seconds", "0.1", *args)


@committed
def test_it_counts_what_answered_and_from_where(
    nba: None, live_server: LiveServer, settings: Settings, at_stage: Callable[..., None], capsys: Capture
) -> None:
    CacheTarget.objects.exclude(cache_type="CACHE_FACTOR", sport="NBA").update(is_enabled=False)
    warm(CacheTarget.objects.filter(is_enabled=True), actor=SYSTEM)
    settings.SITE_URL, settings.API_TOKEN = live_server.url, "let-me-in"
    at_stage("PARTIAL_ACTIVE", percent=50)
    drive("--keys", "10", "--json")
    found: Any = json.loads(capsys.readouterr().out)
    assert (found["requests"], found["failed"], found["problems"]) == (20, 0, {})
    of_candidate = sum(bucket("derived-data", f"user-{number}") < 50 for number in range(10))
    assert found["served_from"] == {"cache": 2 * of_candidate, "computed": 20 - 2 * of_candidate}
    assert 0 < found["p50_ms"] <= found["p95_ms"]
    drive()
    assert "20 requests, 0 failed\np50 " in capsys.readouterr().out
    settings.API_TOKEN = "wrong"
    with pytest.raises(SystemExit):
        drive()
    assert "20 requests, 20 failed, HTTP 401 20 times" in capsys.readouterr().out
    settings.SITE_URL = "http://127.0.0.1:9"
    with pytest.raises(SystemExit):
        drive()
    assert "20 failed, ClientConnectorError 20 times" in capsys.readouterr().out
    connection.close()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("args", "token", "said"),
    [
        (["--rate", "0"], "x", "rate, seconds or keys is out of range"),
        (["--seconds", "nan"], "x", "rate, seconds or keys is out of range"),
        (["--keys", "0"], "x", "rate, seconds or keys is out of range"),
        ([], "", "API_TOKEN is not set"),
    ],
)
def test_what_cannot_be_driven_is_one_line(args: list[str], token: str, said: str, settings: Settings) -> None:
    settings.API_TOKEN = token
    with pytest.raises(CommandError, match=said):
        drive(*args)


@pytest.mark.django_db
def test_nothing_to_ask_for_is_said(settings: Settings) -> None:
    settings.API_TOKEN = "x"
    CacheTarget.objects.update(is_enabled=False)
    with pytest.raises(CommandError, match="no target is enabled"):
        drive()
