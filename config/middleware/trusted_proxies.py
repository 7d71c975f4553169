"""The client's address: X-Forwarded-* headers are believed only if a trusted proxy set them."""

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT")


class TrustedProxies:
    """A middleware that sets REMOTE_ADDR to the client as the last trusted proxy saw it.

    It drops X-Forwarded-* headers that come from any other address.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        meta = request.META
        if _is_trusted(meta.get("REMOTE_ADDR", "")):
            for hop in reversed(meta.get("HTTP_X_FORWARDED_FOR", "").split(",")):
                if hop.strip():
                    meta["REMOTE_ADDR"] = hop.strip()
                if not _is_trusted(hop.strip()):
                    break
        else:
            dropped = [meta.pop(name, "") for name in FORWARDED]
            if any(dropped):
                # The request came through a proxy that is not trusted, or pretends to. The address of its client is
                # unknown, so it must never count as a request from this machine.
                meta["REMOTE_ADDR"] = "0.0.0.0"  # noqa: S104 - an address that no client has
        return self.get_response(request)


def _is_trusted(address: str) -> bool:
    try:
        return any(ipaddress.ip_address(address) in network for network in settings.TRUSTED_PROXIES)
    except ValueError:
        return False


def is_local(request: HttpRequest) -> bool:
    """Return whether the client is on this machine."""
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
