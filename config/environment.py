"""The environment, read with django-environ; each fault is one line that names the variable."""

import io
import ipaddress
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

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

    def database(self, var: str) -> dict[str, Any]:
        """An entry of Django's DATABASES. Raises ImproperlyConfigured for anything but PostgreSQL."""
        right = urlsplit(self.str(var)).scheme in ("postgres", "postgresql")
        try:
            found = dict(self.db_url(var)) if right else {}
        except (ValueError, ImproperlyConfigured):
            found = {}
        if not found.get("NAME"):
            raise malformed(var, "postgres://user:password@host:port/name")
        return found | {"HOST": unquote(found["HOST"])}  # a folder of sockets is written %2Ftmp%2F...

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
        except (ValueError, ImproperlyConfigured):
            raise malformed(var, "smtp+tls://user:password@host:587") from None


def malformed(var: str, expected: str = "") -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{var} is malformed{f' ({expected})' if expected else ''}; {HINT}")


def load_env_file() -> None:
    """Take from .env what the environment does not say already; not under test, where the environment is all."""
    if not ENV_FILE.exists() or "PYTEST_VERSION" in os.environ:
        return
    try:
        text = ENV_FILE.read_text()
    except (OSError, UnicodeDecodeError):
        raise ImproperlyConfigured(f"{ENV_FILE} cannot be read; make it readable UTF-8, or remove it") from None
    for number, line in enumerate(text.splitlines(), 1):  # named by number: it may hold a secret
        if line.strip() and not re.match(r"\s*(#|(export )?\w+=)", line):
            raise ImproperlyConfigured(f"line {number} of {ENV_FILE} is no NAME=value; {HINT}")
    environ.Env.read_env(io.StringIO(text))


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


def port(var: str, value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= 65535:
        raise malformed(var, "a port from 1 to 65535")
    return int(value)


def redis_url(var: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        right = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise malformed(var, "redis://host:port/0 or unix:///path")
    return value


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
