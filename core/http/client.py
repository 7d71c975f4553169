"""Calls to addresses of the operator's own: this site, the webhook, the stub feed. Feeds have a caller of their own."""

import http.client
from urllib.parse import urlsplit


def connection_to(url: str, timeout_seconds: float) -> http.client.HTTPConnection:
    """By the address's scheme, host and port; nothing is followed. The caller closes it."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout_seconds)
