"""Who calls /api, /ofrep and /metrics: tokens are known by their digests alone."""

import hashlib

from django.conf import settings
from django.http import HttpRequest


def caller(request: HttpRequest) -> str | None:
    """The name of a token that came with the request, in either header. Digests are compared, so that the time says
    nothing of it.
    """
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    sent = [bearer if scheme.lower() == "bearer" else "", request.headers.get("X-API-Key", "")]
    digests = [hashlib.sha256(token.strip().encode()).hexdigest() for token in sent if token.strip()]
    return next((settings.API_TOKENS[digest] for digest in digests if digest in settings.API_TOKENS), None)
