"""HTTP calls to addresses that the operator set: this site, the webhook, the stub feed.

Provider feeds have their own caller.
"""

import http.client
from urllib.parse import urlsplit


def connection_to(url: str, timeout_seconds: float) -> http.client.HTTPConnection:
    """Return a connection to the scheme, host and port of the URL. It follows no redirect. The caller closes it."""
    parts = urlsplit(url)
    connection_class = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return connection_class(parts.hostname or "", parts.port, timeout=timeout_seconds)
