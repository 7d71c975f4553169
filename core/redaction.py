"""No secret in a log, an error text or the database."""

import os
import re

# Values that must not show wherever they stand: keys in addresses, tokens in headers, passwords in URLs.
PATTERNS = [
    (re.compile(r"(?i)(api_?key=)[^&\s'\"]+"), r"\1***"),
    (re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+"), r"\1***"),
    (re.compile(r"(://[^/@:\s]*:)[^@/\s]+@"), r"\1***@"),
]
SHORTEST = 6  # shorter values would mask ordinary words
_secrets: list[str] = []


def hide(secrets: list[str]) -> None:
    """Hide these values from now on, beside those of the *_API_KEY variables."""
    keys = [value for name, value in os.environ.items() if name.endswith("_API_KEY")]
    _secrets[:] = [secret for secret in [*secrets, *keys] if len(secret) >= SHORTEST]


def redact(text: str) -> str:
    """The text without secrets."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    for pattern, mask in PATTERNS:
        text = pattern.sub(mask, text)
    return text
