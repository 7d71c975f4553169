"""The files and ports that a fresh checkout needs: a .env of its own, and free ports."""

import hashlib
import os
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from config.embedded.location import EmbeddedError
from config.environment import parse_http_url, parse_port

ROOT = Path(__file__).resolve().parents[2]
STUB_PORTS = range(8001, 9000)  # one is chosen by chance, so that two checkouts that start together do not collide


def make_env_file(path: Path) -> str | None:
    """Write a .env with generated secrets, mode 0600, unless it exists. Return the new API token, else None.

    Raises EmbeddedError if the web port is in use, because such a port must not be written down, or if the file cannot
    be written.
    """
    if path.exists():
        return None
    token = secrets.token_urlsafe(24)
    port = web_port()
    require_free_port("WEB_PORT", port)
    settings = [
        "# Generated for development; .env.example documents each variable.",
        f"SECRET_KEY={secrets.token_urlsafe(48)}",
        f"WEB_PORT={port}",
        f"SITE_URL=http://127.0.0.1:{port}",
        "ALLOWED_HOSTS=127.0.0.1,localhost",
        f"STUB_FEED_URL=http://127.0.0.1:{free_port(STUB_PORTS, but=port)}",
        f"API_TOKEN={token}",
        f"API_TOKENS=development:{hashlib.sha256(token.encode()).hexdigest()}",
        "",
    ]
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("\n".join(settings))
        os.link(draft, path)  # the file appears complete or not at all
    except OSError as error:
        raise EmbeddedError(f"cannot write {path}: {error.strerror}", f"make {path.parent} writable") from error
    finally:
        draft.unlink(missing_ok=True)
    return token


def is_free(port: int) -> bool:
    """Return whether a server can listen on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(ports: range, *, but: int) -> int:
    """Return a free port of the range by chance, other than `but`."""
    return secrets.choice([port for port in ports if port != but and is_free(port)])


def web_port() -> int:
    """Return the port of the web server, from WEB_PORT."""
    return parse_port("WEB_PORT", os.environ.get("WEB_PORT") or "8000")


def require_free_port(variable: str, port: int) -> None:
    """Raise EmbeddedError, which names the variable, if the port is in use."""
    if not is_free(port):
        raise EmbeddedError(f"cannot use port {port}: it is in use", f"set another port in {variable} (file .env)")


def require_ports() -> None:
    """Raise EmbeddedError if the web server's port or the stub feed's port is in use."""
    require_free_port("WEB_PORT", web_port())
    if url := os.environ.get("STUB_FEED_URL"):
        require_free_port("STUB_FEED_URL", urlsplit(parse_http_url("STUB_FEED_URL", url)).port or 80)
