"""Whose X-Forwarded-For is believed; 10.0.0.0/8 is trusted here."""

import pytest
from django.http import HttpRequest, HttpResponse

from config.middleware.trusted_proxies import TrustedProxies, is_local


def seen(remote: str, forwarded: str = "") -> tuple[str, bool]:
    """The client's address as views see it, and whether it counts as this machine."""
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
        ("10.0.0.1", "127.0.0.1, 203.0.113.9", "203.0.113.9", False),  # a client's claim before the proxy's word
        ("127.0.0.1", "203.0.113.9", "0.0.0.0", False),  # noqa: S104 - a proxy here that is not trusted
        ("203.0.113.9", "127.0.0.1", "0.0.0.0", False),  # noqa: S104
        ("10.0.0.1", "garbage", "garbage", False),
    ],
)
def test_it_finds_the_client(remote: str, forwarded: str, address: str, local: bool) -> None:
    assert seen(remote, forwarded) == (address, local)
