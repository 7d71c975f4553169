"""Masking of secrets, so that none appears in a log, an error message or the database."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

# Values that are masked in any text: keys in addresses, tokens in headers, passwords in URLs.
PATTERNS = [
    (re.compile(r"(?i)(api_?key=)[^&\s'\"]+"), r"\1***"),
    (re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+"), r"\1***"),
    (re.compile(r"(://[^/@:\s]*:)[^@/\s]+@"), r"\1***@"),
]
SHORTEST = 6  # characters; a shorter value would mask ordinary words
_secrets: list[str] = []


def hide(secrets: list[str]) -> None:
    """Mask these values and those of the *_API_KEY variables from now on, and no others."""
    keys = [value for name, value in os.environ.items() if name.endswith("_API_KEY")]
    _secrets[:] = [secret for secret in [*secrets, *keys] if len(secret) >= SHORTEST]


@contextmanager
def hiding(secrets: list[str]) -> Iterator[None]:
    """Hide these values within the block only; the values that were hidden before are hidden again after it."""
    previous = list(_secrets)
    hide(secrets)
    try:
        yield
    finally:
        _secrets[:] = previous


def redact(text: str) -> str:
    """Return the text with every secret replaced by ***."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    for pattern, mask in PATTERNS:
        text = pattern.sub(mask, text)
    return text
