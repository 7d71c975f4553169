"""Believe X-Forwarded-* from the trusted proxies only."""

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT")


class TrustedProxies:
    """Set REMOTE_ADDR to the client as the last trusted proxy saw it; drop what anybody else claims."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        meta = request.META
        if _trusted(meta.get("REMOTE_ADDR", "")):
            for hop in reversed(meta.get("HTTP_X_FORWARDED_FOR", "").split(",")):
                if hop.strip():
                    meta["REMOTE_ADDR"] = hop.strip()
                if not _trusted(hop.strip()):
                    break
        else:
            # Whoever sets the headers is not who connects here: such a request is never "from this machine".
            if any(meta.pop(name, None) for name in FORWARDED):
                meta["REMOTE_ADDR"] = "0.0.0.0"  # noqa: S104 - nobody's address
        return self.get_response(request)


def _trusted(address: str) -> bool:
    try:
        return any(ipaddress.ip_address(address) in network for network in settings.TRUSTED_PROXIES)
    except ValueError:
        return False


def is_local(request: HttpRequest) -> bool:
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
