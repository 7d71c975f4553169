"""What a fresh checkout needs beside the code: a .env of its own, free ports, the static files."""

import hashlib
import os
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from config.embedded.location import EmbeddedError
from config.environment import http_url, port

ROOT = Path(__file__).resolve().parents[2]
STUB_PORTS = range(8001, 9000)  # one by chance, so that two checkouts that start together don't meet


def make_env_file(path: Path) -> str | None:
    """Write a .env with generated secrets, mode 0600, unless there is one. Returns the new API token, else None."""
    if path.exists():
        return None
    token = secrets.token_urlsafe(24)
    web = web_port()
    require_free_port("WEB_PORT", web)  # a port in use is not to be written down
    lines = [
        "# Generated for development; .env.example documents each variable.",
        f"SECRET_KEY={secrets.token_urlsafe(48)}",
        f"WEB_PORT={web}",
        f"SITE_URL=http://127.0.0.1:{web}",
        "ALLOWED_HOSTS=127.0.0.1,localhost",
        f"STUB_FEED_URL=http://127.0.0.1:{free_port(STUB_PORTS, but=web)}",
        f"API_TOKEN={token}",
        f"API_TOKENS=development:{hashlib.sha256(token.encode()).hexdigest()}",
        "",
    ]
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("\n".join(lines))
        os.link(draft, path)  # whole or not at all
    except OSError as error:
        raise EmbeddedError(f"cannot write {path} ({error.strerror})", "make the folder writable") from error
    finally:
        draft.unlink(missing_ok=True)
    return token


def is_free(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
        return True


def free_port(ports: range, *, but: int) -> int:
    return secrets.choice([number for number in ports if number != but and is_free(number)])


def web_port() -> int:
    return port("WEB_PORT", os.environ.get("WEB_PORT") or "8000")


def require_free_port(variable: str, number: int) -> None:
    """Raises EmbeddedError naming the variable."""
    if not is_free(number):
        raise EmbeddedError(f"port {number} is in use", f"set another in {variable} (file .env)")


def require_ports() -> None:
    require_free_port("WEB_PORT", web_port())
    if url := os.environ.get("STUB_FEED_URL"):
        require_free_port("STUB_FEED_URL", urlsplit(http_url("STUB_FEED_URL", url)).port or 80)
