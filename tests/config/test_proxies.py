"""X-Forwarded-* headers are believed only from trusted proxies. The tests trust 10.0.0.0/8."""

import pytest
from django.http import HttpRequest, HttpResponse

from config.middleware.trusted_proxies import FORWARDED, TrustedProxies, is_local


def client_of(remote: str, forwarded: str = "") -> tuple[str, bool]:
    """Return the client's address as views see it, and whether it counts as this machine."""
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = remote
    if forwarded:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    TrustedProxies(lambda request: HttpResponse())(request)
    return request.META["REMOTE_ADDR"], is_local(request)


@pytest.mark.parametrize(
    ("remote", "forwarded", "address", "local"),
    [
        ("127.0.0.1", "", "127.0.0.1", True),
        ("::1", "", "::1", True),
        ("203.0.113.9", "", "203.0.113.9", False),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9", False),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9", False),
        (
            "10.0.0.1",
            "127.0.0.1, 203.0.113.9",
            "203.0.113.9",
            False,
        ),  # the client's claim precedes the proxy's
        ("127.0.0.1", "203.0.113.9", "0.0.0.0", False),  # noqa: S104 - a proxy on this machine that is not trusted
        ("203.0.113.9", "127.0.0.1", "0.0.0.0", False),  # noqa: S104
        ("10.0.0.1", "garbage", "garbage", False),
    ],
)
def test_it_finds_the_client(remote: str, forwarded: str, address: str, local: bool) -> None:
    assert client_of(remote, forwarded) == (address, local)


def test_it_drops_every_forwarded_header_of_an_untrusted_sender() -> None:
    request = HttpRequest()
    request.META |= {"REMOTE_ADDR": "203.0.113.9"} | dict.fromkeys(FORWARDED, "https")
    TrustedProxies(lambda request: HttpResponse())(request)
    assert not set(FORWARDED) & set(request.META)


def test_it_drops_forwarded_headers_without_a_value() -> None:
    """They name no client, so that the request stays one of its sender; Django would take an empty host or scheme."""
    request = HttpRequest()
    request.META |= {"REMOTE_ADDR": "203.0.113.9"} | dict.fromkeys(FORWARDED, "")
    TrustedProxies(lambda request: HttpResponse())(request)
    assert not set(FORWARDED) & set(request.META)
    assert request.META["REMOTE_ADDR"] == "203.0.113.9"
