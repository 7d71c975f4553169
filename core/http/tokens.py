"""The tokens of callers of /api, /ofrep and /metrics. The settings contain only the digests of the tokens."""

import hashlib

from django.conf import settings
from django.http import HttpRequest


def token_name(request: HttpRequest) -> str | None:
    """Return the name of a known token in the Authorization or X-API-Key header, None if there is none.

    Digests are compared, so that the time that it takes reveals nothing about a token.
    """
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    sent = [bearer if scheme.lower() == "bearer" else "", request.headers.get("X-API-Key", "")]
    digests = [hashlib.sha256(token.strip().encode()).hexdigest() for token in sent if token.strip()]
    return next((settings.API_TOKENS[digest] for digest in digests if digest in settings.API_TOKENS), None)
