"""Who calls /api, /ofrep and /metrics: tokens are known by their digests alone."""

import hashlib

from django.conf import settings
from django.http import HttpRequest


def caller(request: HttpRequest) -> str | None:
    """The name of the token that came with the request. Digests are compared, so that the time says nothing of it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.headers.get("X-API-Key", "")
    name: str | None = settings.API_TOKENS.get(hashlib.sha256(token.strip().encode()).hexdigest())
    return name
