"""The environment, read with django-environ; each fault is one line that names the variable."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

ENV_FILE = Path(__file__).resolve().parent.parent / ".env"
HINT = "see .env.example"


class Environment(environ.Env):
    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except ImproperlyConfigured:
            raise ImproperlyConfigured(f"{var} is not set; {HINT}") from None
        except (ValueError, TypeError):
            raise malformed(var) from None

    def flag(self, var: str) -> bool:
        """on or off (the default); django-environ takes each other word for off."""
        value = self.str(var, default="off").lower()
        if value not in (*self.BOOLEAN_TRUE_STRINGS, "off", "false", "no", "n", "0", ""):
            raise malformed(var, "on or off")
        return value in self.BOOLEAN_TRUE_STRINGS

    def mail(self, var: str, default: str) -> dict[str, Any]:
        """Django's EMAIL_* settings."""
        try:
            return dict(self.email_url(var, default=default))
        except ImproperlyConfigured:
            raise malformed(var, "smtp+tls://user:password@host:587") from None


def malformed(var: str, expected: str = "") -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{var} is malformed{f' ({expected})' if expected else ''}; {HINT}")


def load_env_file() -> None:
    """Take from .env what the environment does not say already; not under test, where the environment is all."""
    if ENV_FILE.exists() and "PYTEST_VERSION" not in os.environ:
        environ.Env.read_env(str(ENV_FILE))


def http_url(var: str, value: str) -> str:
    """The address without a trailing slash. Raises ImproperlyConfigured when it is not one."""
    try:
        parts = urlsplit(value)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment or parts.username:
        raise malformed(var, "http(s)://host[:port]")
    return value.rstrip("/")


def api_tokens(var: str, values: list[str]) -> dict[str, str]:
    """`name:sha256-of-token` pairs as {hex digest: name}."""
    tokens = {}
    for value in values:
        name, _, digest = value.partition(":")
        if not name or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise malformed(var, "name:sha256-of-token, comma separated")
        tokens[digest] = name
    return tokens


def networks(var: str, values: list[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(value) for value in values]
    except ValueError:
        raise malformed(var, "addresses or networks, comma separated") from None
