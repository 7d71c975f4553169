"""The command manage.py drive: real requests, counted by their answers."""

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
    document: Any = json.loads(capsys.readouterr().out)
    assert (document["requests"], document["failed"], document["problems"]) == (20, 0, {})
    of_candidate = sum(bucket("derived-data", f"user-{number}") < 50 for number in range(10))
    assert document["served_from"] == {"cache": 2 * of_candidate, "computed": 20 - 2 * of_candidate}
    assert 0 < document["p50_ms"] <= document["p95_ms"]
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
    ("args", "token", "message"),
    [
        (["--rate", "0"], "x", "rate must be above 0 and at most 2000 per second"),
        (["--seconds", "nan"], "x", "rate must be above 0 and at most 2000 per second"),
        (["--keys", "0"], "x", "rate must be above 0 and at most 2000 per second"),
        ([], "", "API_TOKEN is not set"),
    ],
)
def test_a_wrong_argument_is_one_line(args: list[str], token: str, message: str, settings: Settings) -> None:
    settings.API_TOKEN = token
    with pytest.raises(CommandError, match=message):
        drive(*args)


@pytest.mark.django_db
def test_it_refuses_to_run_without_an_enabled_target(settings: Settings) -> None:
    settings.API_TOKEN = "x"
    CacheTarget.objects.update(is_enabled=False)
    with pytest.raises(CommandError, match="no target is enabled"):
        drive()
