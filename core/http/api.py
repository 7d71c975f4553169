"""The schema of errors and the comparison of entity tags, for the HTTP APIs of all apps."""

from django.http import HttpRequest
from django.utils.http import parse_etags
from ninja import Schema


class Problem(Schema):
    error: str
    remedy: str


def has_matching_etag(request: HttpRequest, tag: str) -> bool:
    """Return whether If-None-Match names the entity tag, so that the caller already has this representation.

    tag: the entity tag in its quotes. Tags are compared weakly (RFC 9110, 8.8.3.2).
    """
    tags = {sent.removeprefix("W/") for sent in parse_etags(request.headers.get("If-None-Match", ""))}
    return tag in tags or "*" in tags
