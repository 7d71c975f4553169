"""What the HTTP APIs of all apps share."""

from django.http import HttpRequest
from django.utils.http import parse_etags
from ninja import Schema


class Problem(Schema):
    error: str
    remedy: str


def has_already(request: HttpRequest, tag: str) -> bool:
    """Whether the caller holds what bears this entity tag, in its quotes; compared weakly (RFC 9110, 8.8.3.2)."""
    known = {known.removeprefix("W/") for known in parse_etags(request.headers.get("If-None-Match", ""))}
    return tag in known or "*" in known
