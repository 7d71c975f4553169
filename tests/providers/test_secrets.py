"""A credential is in no log, no error text and no row."""

import json
import logging
from collections.abc import Iterator

import pytest
from aiohttp import web
from django.db import IntegrityError, connection
from pytest_django import Settings

from core.access.actors import SYSTEM
from core.redaction import hiding, redact
from providers import operations
from providers.fleet.backfill import Scope
from providers.models import FetchAttempt, Provider, ProviderState
from providers.stub.server import served
from providers.upstream.caller import read_error
from tests.conftest import committed

KEY = "k3y-that-nobody-may-see"


@pytest.fixture
def credential(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("STUBBORN_API_KEY", KEY)
    with hiding([]):
        yield


@pytest.mark.parametrize("before", range(60, 110, 7))
def test_a_key_across_a_cut_does_not_show(before: int, credential: None) -> None:
    page = f"<h1>{'x' * before} {KEY}</h1>".encode()
    assert KEY[:4] not in read_error(page, redact).message


@committed
def test_a_key_that_the_upstream_repeats_is_masked_everywhere(
    state: ProviderState, credential: None, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    keys: list[str] = []

    async def complain(request: web.Request) -> web.Response:
        keys.append(request.query["apiKey"])
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
    assert keys == [KEY]
    assert polled.poll.problem == "HTTP 401: INVALID_KEY The key *** at /odds?apiKey=*** is wrong"
    assert KEY not in caplog.text
    rows = [*FetchAttempt.objects.values(), *ProviderState.objects.values()]
    assert KEY not in json.dumps(rows, default=str)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("GET /odds?apiKey=abc123&x=1", "GET /odds?apiKey=***&x=1"),
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer ***"),
        ("postgres://slipway:hunter22@db/slipway", "postgres://slipway:***@db/slipway"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_it_masks_text_that_looks_like_a_secret(text: str, redacted: str) -> None:
    assert redact(text) == redacted


def test_it_masks_a_known_secret_in_any_text(credential: None) -> None:
    assert redact(f"so {KEY}!") == "so ***!"


@pytest.mark.django_db
def test_the_database_also_refuses_the_name_of_another_secret(fleet: None) -> None:
    with pytest.raises(IntegrityError, match="provider_credential_env_key"), connection.cursor():
        Provider.objects.filter(name="stub").update(credential_env="SECRET_KEY")
