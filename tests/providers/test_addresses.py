"""The guard that keeps outbound requests away from private addresses."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from django.core.exceptions import ValidationError
from pytest_django import Settings

from core.access.actors import SYSTEM
from providers import operations
from providers.fleet.backfill import Scope
from providers.models import FetchAttempt, PollSlot, Provider, ProviderState
from providers.stub.server import served
from providers.upstream.address_guard import PrivateAddress, PublicResolver, refuse_private
from providers.validators import is_public, validate_base_url, validate_credential_env
from tests.conftest import committed
from tests.providers.polls import feed

PRIVATE = [
    "http://127.0.0.1",
    "http://127.1",
    "http://2130706433",
    "http://0x7f000001",
    "http://localhost:8000",
    "http://localhost.",
    "http://10.1.2.3",
    "http://172.16.0.1",
    "http://192.168.1.1",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1",
    "http://0.0.0.0",
    "http://[::1]",
    "http://[::ffff:127.0.0.1]",
    "http://[fe80::1]",
    "http://[fd00::1]",
    "http://224.0.0.1",
    "http://intranet",
    "http://①②⑦.⓪.⓪.①:8000",
    "http://127.0。0.1",
    "http://１69.254.169.254",
    "http://%3127.0.0.1",
    "http://[::127.0.0.1]",
    "http://[64:ff9b::7f00:1]",
    "http://[2002:7f00:1::]",
    "http://db.internal",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_it_refuses_a_private_address(url: str) -> None:
    with pytest.raises(ValidationError, match="public address"):
        validate_base_url(url)
    with pytest.raises(PrivateAddress):
        refuse_private(url, stub_feed_url="http://127.0.0.1:8001")


@pytest.mark.parametrize(
    "url", ["ftp://example.com", "example.com", "http://", "http://u:p@example.com", "http://:p@8.8.8.8", "http://[::"]
)
def test_it_refuses_an_address_that_is_not_plain(url: str) -> None:
    with pytest.raises(ValidationError, match=r"http\(s\)://host"):
        validate_base_url(url)


@pytest.mark.parametrize("url", ["https://api.the-odds-api.com", "http://8.8.8.8:8080/path", "https://[2606:4700::1]"])
def test_it_takes_a_public_address(url: str) -> None:
    validate_base_url(url)
    refuse_private(url, stub_feed_url="")


def test_it_takes_the_stub_feed_alone() -> None:
    refuse_private("http://127.0.0.1:8001", stub_feed_url="http://127.0.0.1:8001")
    with pytest.raises(PrivateAddress):
        refuse_private("http://127.0.0.1:8000", stub_feed_url="http://127.0.0.1:8001")


@pytest.mark.parametrize("name", ["SECRET_KEY", "PATH", "x_api_key", "_API_KEY", "A B_API_KEY", "THEODDS_API_KEY\n"])
def test_it_refuses_another_secrets_name(name: str) -> None:
    with pytest.raises(ValidationError, match="Must name"):
        validate_credential_env(name)


def test_it_refuses_a_name_that_resolves_to_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve() -> Any:
        return await PublicResolver("http://127.0.0.1:8001").resolve("localhost", 80)

    with pytest.raises(PrivateAddress, match="cannot call localhost: it resolves to a private address"):
        asyncio.run(resolve())


@committed
def test_a_poll_calls_no_private_address(fleet: None, settings: Settings) -> None:
    """The poll itself checks, because a row may have been written without any form."""
    Provider.objects.filter(name="theodds").update(base_url="http://127.0.0.1:1", credential_env="")
    operations.enable([ProviderState.objects.get(provider="theodds", sport="NBA").pk], actor=SYSTEM)
    [polled] = [future.result(30) for future in operations.poll_round(Scope("theodds", "NBA"), actor=SYSTEM)]
    assert polled.poll.problem == "cannot call 127.0.0.1: it is a private address"
    assert FetchAttempt.objects.count() == 0
    assert PollSlot.objects.get(base_url="http://127.0.0.1:1").lease_until is None


@committed
def test_a_redirect_is_not_followed(state: ProviderState, settings: Settings) -> None:
    paths: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        paths.append(request.path)
        raise web.HTTPFound("/elsewhere")

    with served(feed(redirect)) as url:
        settings.STUB_FEED_URL = url
        [polled] = [future.result(30) for future in operations.poll_round(Scope("stub", "NBA"), actor=SYSTEM)]
    assert polled.poll.problem == "HTTP 302: redirects are not followed"
    assert paths == ["/v4/sports/basketball_nba/odds"]


def test_it_judges_addresses_by_the_registry_of_special_ranges() -> None:
    assert is_public("8.8.8.8")
    assert not is_public("::ffff:10.0.0.1")
    assert not is_public("fe80::1%eth0")
