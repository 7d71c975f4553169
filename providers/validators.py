"""The validators of an upstream: an installed adapter, no private address, no name of another secret."""

import ipaddress
import re
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from providers.adapter_names import adapter_names

# The IPv6 ranges that embed an IPv4 address: compatible (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo.
CARRIES_IPV4 = [ipaddress.IPv6Network(net) for net in ("::/96", "64:ff9b::/96", "2002::/16", "2001::/32")]
CREDENTIAL = r"^$|^[A-Z][A-Z0-9_]*_API_KEY$"


def is_public(address: str) -> bool:
    """Return whether an IP address, as text, is in the public internet. Raises ValueError for any other text."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        elif any(parsed in network for network in CARRIES_IPV4):
            return False
    return parsed.is_global and not parsed.is_multicast


def names_private_host(url: str) -> bool:
    """Return whether the URL names a private host, without asking a name server.

    The addresses that a name resolves to are checked when the client connects.
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    if not re.fullmatch(r"[a-z0-9._:-]+", host):
        return True  # other characters, such as full-width digits, would be turned into plain ones later
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not is_public(host)
    except ValueError:
        is_short_form = re.fullmatch(r"[0-9.]+|0x[0-9a-f.x]+", host) is not None  # 127.1, 2130706433, 0x7f000001
        return is_short_form or "." not in host


def validate_adapter(value: str) -> None:
    names = adapter_names()
    if value not in names:
        raise ValidationError(f"Must be the name of an installed adapter: {', '.join(names)} (got {value}).")


def validate_credential_env(value: str) -> None:
    if not re.fullmatch(CREDENTIAL, value):
        raise ValidationError("Must name an environment variable that ends in _API_KEY, or be empty.")


def validate_base_url(value: str) -> None:
    try:
        parts = urlsplit(value)
        is_wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        is_wrong = True
    if is_wrong or parts.username or parts.password or parts.query or parts.fragment:
        raise ValidationError("Must be http(s)://host[:port][/path], without user, query or fragment.")
    if names_private_host(value):
        raise ValidationError("Must be a public address. For the stub feed, leave it empty and set STUB_FEED_URL.")
