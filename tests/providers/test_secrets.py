"""A credential is in no log, no error text and no row."""

import json
import logging

import pytest
from aiohttp import web
from django.db import connection
from pytest_django import Settings

from core.access.actors import SYSTEM
from core.redaction import hide, redact
from providers import operations
from providers.fleet.backfill import Scope
from providers.models import FetchAttempt, Provider, ProviderState
from providers.polling.caller import refusal
from providers.stub.server import served
from tests.conftest import committed

KEY = "k3y-that-nobody-may-see"


@pytest.fixture
def credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUBBORN_API_KEY", KEY)
    monkeypatch.setattr("core.redaction._secrets", [])
    hide([])


@pytest.mark.parametrize("before", range(60, 110, 7))
def test_a_key_across_a_cut_is_no_part_of_the_text(before: int, credential: None) -> None:
    page = f"<h1>{'x' * before} {KEY}</h1>".encode()
    assert KEY[:4] not in refusal(page, redact).message


@committed
def test_an_upstream_that_sends_the_key_back(
    state: ProviderState, credential: None, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    async def complain(request: web.Request) -> web.Response:
        asked.append(request.query["apiKey"])
        body = {"message": f"The key {KEY} at /odds?apiKey={KEY} is wrong", "error_code": "INVALID_KEY"}
        return web.json_response(body, status=401)

    app = web.Application()
    app.router.add_get("/{path:.*}", complain)
    Provider.objects.filter(name="stub").update(credential_env="STUBBORN_API_KEY")
    operations.enable([state.pk], actor=SYSTEM)
    caplog.set_level(logging.DEBUG)
    with served(app) as url:
        settings.STUB_FEED_URL = url
        [polled] = [future.result(30) for future in operations.poll_round(Scope("stub", "NBA"), actor=SYSTEM)]
    assert asked == [KEY]
    assert polled.poll.problem == "HTTP 401: INVALID_KEY The key *** at /odds?apiKey=*** is wrong"
    assert KEY not in caplog.text
    rows = [*FetchAttempt.objects.values(), *ProviderState.objects.values()]
    assert KEY not in json.dumps(rows, default=str)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /odds?apiKey=abc123&x=1", "GET /odds?apiKey=***&x=1"),
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer ***"),
        ("postgres://slipway:hunter22@db/slipway", "postgres://slipway:***@db/slipway"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_it_masks_what_looks_like_a_secret(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_it_masks_a_named_secret_wherever_it_stands(credential: None) -> None:
    assert redact(f"so {KEY}!") == "so ***!"


@pytest.mark.django_db
def test_the_database_refuses_another_secrets_name_too(fleet: None) -> None:
    from django.db import IntegrityError

    with pytest.raises(IntegrityError, match="provider_credential_env_key"), connection.cursor():
        Provider.objects.filter(name="stub").update(credential_env="SECRET_KEY")
