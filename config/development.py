"""What a fresh checkout needs beside the code: a .env of its own, free ports, the static files."""

import hashlib
import os
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from config.place import EmbeddedError

ROOT = Path(__file__).resolve().parent.parent
STUB_PORTS = range(8001, 9000)  # one by chance, so that two checkouts that start together don't meet


def make_env_file(path: Path) -> str | None:
    """Write a .env with generated secrets, mode 0600, unless there is one. Returns the new API token, else None."""
    if path.exists():
        return None
    token = secrets.token_urlsafe(24)
    web_port = os.environ.get("WEB_PORT", "8000")
    lines = [
        "# Generated for development; .env.example documents each variable.",
        f"SECRET_KEY={secrets.token_urlsafe(48)}",
        f"WEB_PORT={web_port}",
        f"SITE_URL=http://127.0.0.1:{web_port}",
        "ALLOWED_HOSTS=127.0.0.1,localhost",
        f"STUB_FEED_URL=http://127.0.0.1:{free_port(STUB_PORTS, but=int(web_port))}",
        f"# curl -H 'Authorization: Bearer {token}' ...",
        f"API_TOKENS=development:{hashlib.sha256(token.encode()).hexdigest()}",
        "",
    ]
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("\n".join(lines))
    except OSError as error:
        raise EmbeddedError(f"cannot write {path} ({error.strerror})", "make the folder writable") from error
    return token


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(ports: range, *, but: int) -> int:
    return secrets.choice([port for port in ports if port != but and is_free(port)])


def require_ports() -> None:
    """Raises EmbeddedError naming the variable of a port in use."""
    ports = {"WEB_PORT": int(os.environ["WEB_PORT"])}
    if url := os.environ.get("STUB_FEED_URL"):
        ports["STUB_FEED_URL"] = urlsplit(url).port or 80
    for variable, port in ports.items():
        if not is_free(port):
            raise EmbeddedError(f"port {port} is in use", f"set another in {variable} (file .env)")
