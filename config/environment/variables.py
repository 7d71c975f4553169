"""The environment, read with django-environ. Each fault is one line that names the variable and shows no value."""

import ipaddress
import re
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from config.environment.home import HINT


class Environment(environ.Env):
    """django-environ's reader. Every method raises ImproperlyConfigured for a missing or malformed variable."""

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except ImproperlyConfigured:
            raise ImproperlyConfigured(f"{var} must be set; {HINT}") from None
        except (ValueError, TypeError):
            raise malformed(var) from None

    def database(self, var: str) -> dict[str, Any]:
        """Return an entry of Django's DATABASES. Only PostgreSQL is accepted."""
        is_postgres = urlsplit(self.str(var)).scheme in ("postgres", "postgresql")
        try:
            entry = dict(self.db_url(var)) if is_postgres else {}
        except (ValueError, ImproperlyConfigured):
            entry = {}
        if not entry.get("NAME"):
            raise malformed(var, "postgres://user:password@host:port/name")
        return entry | {"HOST": unquote(entry["HOST"])}  # a folder of sockets is written %2Ftmp%2F...

    def flag(self, var: str) -> bool:
        """Return whether the variable is on; it is off by default. django-environ reads each unknown word as off."""
        value = self.str(var, default="off").lower()
        if value not in (*self.BOOLEAN_TRUE_STRINGS, "off", "false", "no", "n", "0", ""):
            raise malformed(var, "on or off")
        return value in self.BOOLEAN_TRUE_STRINGS

    def mail(self, var: str, default: str) -> dict[str, Any]:
        """Return Django's EMAIL_* settings."""
        try:
            return dict(self.email_url(var, default=default))
        except (ValueError, ImproperlyConfigured):
            raise malformed(var, "smtp+tls://user:password@host:587") from None


def malformed(var: str, expected: str = "well-formed") -> ImproperlyConfigured:
    """Return the error for a variable. Its value is left out, because it may be a secret."""
    return ImproperlyConfigured(f"{var} must be {expected}; {HINT}")


def parse_http_url(var: str, value: str) -> str:
    """Return the address without a trailing slash. Raises ImproperlyConfigured if it is not an http(s) address."""
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or parts.query or parts.fragment or parts.username:
        raise malformed(var, "http(s)://host[:port]")
    return value.rstrip("/")


def parse_port(var: str, value: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise malformed(var, "a port from 1 to 65535")
    return int(value)


def parse_host(var: str, value: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,63}(\.[0-9A-Za-z_-]{1,63})*|[0-9A-Fa-f:.]+", value):
        raise malformed(var, "an address or a host name")
    return value


def parse_count(var: str, value: str, at_most: int) -> int:
    """Return the number. Raises ImproperlyConfigured if it is not a whole number from 1 to `at_most`."""
    if not re.fullmatch("[0-9]{1,5}", value) or not 1 <= int(value) <= at_most:
        raise malformed(var, f"a number from 1 to {at_most}")
    return int(value)


def parse_share(var: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise malformed(var, "a number from 0 to 1")
    return share


def parse_redis_url(var: str, value: str) -> str:
    """Return the address. Raises ImproperlyConfigured if its scheme is not redis, rediss or unix."""
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise malformed(var, "redis://host:port/0 or unix:///path")
    return value


def parse_api_tokens(var: str, values: list[str]) -> dict[str, str]:
    """Return the `name:sha256-of-token` pairs as a mapping of hex digest to name."""
    names = {}
    for value in values:
        name, _, digest = value.partition(":")
        if not name or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise malformed(var, "name:sha256-of-token, comma separated")
        names[digest] = name
    return names


def parse_networks(var: str, values: list[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(value) for value in values]
    except ValueError:
        raise malformed(var, "addresses or networks, comma separated") from None


def header_values(headers: str) -> list[str]:
    """Return the values of `name=value` pairs, as they are written and as they are sent: percent-decoded."""
    values = [pair.partition("=")[2].strip() for pair in headers.split(",")]
    return [*values, *map(unquote, values)]
