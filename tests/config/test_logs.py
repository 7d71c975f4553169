"""Logs: JSON if standard error is no terminal, and no secret in any entry."""

import json
import logging
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from config import VERSION
from config.logs import redact_event
from core.redis import TIMEOUT_SECONDS, client
from tests.config.test_settings import PRODUCTION, ROOT


def test_it_masks_secrets_in_every_field() -> None:
    event: dict[str, Any] = {
        "event": f"the key is {settings.SECRET_KEY}",
        "url": "https://x/odds?apiKey=abc",
        "hops": ["redis://:pass@host", 3],
        "count": 3,
        "nothing": None,
    }
    assert redact_event(None, "info", event) == {
        "event": "the key is ***",
        "url": "https://x/odds?apiKey=***",
        "hops": ["redis://:***@host", 3],
        "count": 3,
        "nothing": None,
    }


@pytest.mark.django_db
def test_a_request_is_one_line_with_its_id_and_its_client(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client.get("/healthz", REMOTE_ADDR="10.1.2.3", HTTP_X_FORWARDED_FOR="192.0.2.7")  # a trusted proxy
    client.get("/healthz", REMOTE_ADDR="192.0.2.8", HTTP_X_FORWARDED_FOR="192.0.2.7")
    lines = [line for line in caplog.text.splitlines() if "GET /healthz" in line]
    assert len(lines) == 2
    assert all(re.search(r"request_id': '[0-9a-f-]{36}'", line) for line in lines)
    assert "192.0.2.7" in lines[0]
    assert "192.0.2.7" not in lines[1], "an untrusted sender cannot claim another address"


@pytest.mark.django_db
def test_the_entry_of_a_request_holds_what_an_operator_asks_for(
    browse: Callable[[str], Client], request_entries: Callable[[], list[dict[str, Any]]]
) -> None:
    response = browse("Viewer").get("/admin/rollout/rollout/")
    Client().get("/nowhere", headers={"X-API-Key": "let-me-out"})
    page, unknown = request_entries()
    assert (page["status"], page["user"], page["version"]) == (200, "viewer", VERSION)
    assert page["route"] == "admin/rollout/rollout/"
    assert page["duration_ms"] > 0
    assert response.status_code == page["status"]
    assert (unknown["status"], unknown["route"]) == (404, None)
    assert not {"user", "token", "served_from"} & unknown.keys()


@pytest.mark.django_db
def test_the_entry_of_a_failed_request_has_the_same_fields(
    request_entries: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.probes.render", lambda: 1 / 0)
    assert Client(raise_request_exception=False).get("/metrics").status_code == 500
    [failed] = request_entries()
    assert (failed["event"], failed["status"], failed["route"]) == ("request_failed", 500, "metrics")


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_without_a_terminal_each_entry_is_json() -> None:
    code = (
        "from config.startup import start; start(); import django, structlog; django.setup();"
        "structlog.get_logger('x').info('an event', password_url='redis://:hunter22@h', n=1)"
    )
    environment = PRODUCTION | {"PYTEST_VERSION": "x", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    line = json.loads(done.stderr)
    assert (line["event"], line["n"], line["level"]) == ("an event", 1, "info")
    assert line["password_url"] == "redis://:***@h"


def test_redis_has_a_short_time_limit() -> None:
    limits = client().connection_pool.connection_kwargs
    assert limits["socket_timeout"] == limits["socket_connect_timeout"] == TIMEOUT_SECONDS == 0.05
