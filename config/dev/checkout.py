"""The files and ports that a fresh checkout needs: a .env of its own, and free ports."""

import hashlib
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from config.embedded.location import EmbeddedError
from config.environment.env_file import private_draft, store_setting
from config.environment.home import EXAMPLE
from config.environment.variables import malformed, parse_host, parse_http_url, parse_port

STUB_PORTS = range(8001, 9000)  # one is chosen by chance, so that two checkouts that start together do not collide
BACKLOG = 2048  # gunicorn's own
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def make_env_file(path: Path) -> str | None:
    """Write a .env with generated secrets, mode 0600, unless it exists. Return the new API token, else None.

    Raises ImproperlyConfigured if the file cannot be written.
    """
    if path.exists():
        return None
    token = secrets.token_urlsafe(24)
    port = web_port()
    settings = [
        f"# Generated for development; {EXAMPLE} documents each variable.",
        f"SECRET_KEY={secrets.token_urlsafe(48)}",
        f"WEB_PORT={port}",
        f"SITE_URL=http://127.0.0.1:{port}",
        "ALLOWED_HOSTS=127.0.0.1,localhost",
        f"STUB_FEED_URL=http://127.0.0.1:{free_stub_port(but=port)}",
        f"API_TOKEN={token}",
        f"API_TOKENS=development:{hashlib.sha256(token.encode()).hexdigest()}",
        "",
    ]
    with private_draft(path, "\n".join(settings)) as draft, suppress(FileExistsError):
        os.link(draft, path)  # the file appears complete or not at all
        return token
    return None


def web_port() -> int:
    """Return the port of the web server, from WEB_PORT."""
    return parse_port("WEB_PORT", os.environ.get("WEB_PORT") or "8000")


def web_host() -> str:
    """Return the address at which the web server listens, from WEB_HOST."""
    return parse_host("WEB_HOST", os.environ.get("WEB_HOST") or "127.0.0.1")


def site_address() -> str:
    """Return the address of the web server for a process of this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(web_host(), web_host())  # noqa: S104 - no address to listen at
    return f"http://[{host}]:{web_port()}" if ":" in host else f"http://{host}:{web_port()}"


def settle_ports(env_file: Path) -> tuple[socket.socket, list[str]]:
    """Choose free ports for the site and the stub feed, and store them. A SITE_URL on this machine follows the port.

    Return the socket at which the site listens, and a message for each port that was in use. The socket listens from
    now on, so that no other process takes the port before the site starts. Raises EmbeddedError if no port is free.
    """
    messages = []
    listening = listen(web_host(), web_port()) or listen_above(web_host(), web_port())
    port = listening.getsockname()[1]
    if port != web_port():
        messages.append(f"port {web_port()} is in use, so the site is at port {port} from now on (WEB_PORT in .env)")
    store_setting("WEB_PORT", str(port), env_file)
    site = urlsplit(parse_http_url("SITE_URL", os.environ.get("SITE_URL") or site_address()))
    if site.hostname in LOOPBACK and (site.port or 80) != port:
        store_setting("SITE_URL", site_address(), env_file)
    if url := os.environ.get("STUB_FEED_URL"):
        stub = urlsplit(parse_http_url("STUB_FEED_URL", url))
        taken = stub.port or 80
        if stub.hostname in LOOPBACK and (taken == port or not is_free("127.0.0.1", taken)):
            free = free_stub_port(but=port)
            messages.append(f"port {taken} is in use, so the stub feed is at port {free} (STUB_FEED_URL in .env)")
            store_setting("STUB_FEED_URL", f"http://127.0.0.1:{free}", env_file)
    return listening, messages


def is_free(host: str, port: int) -> bool:
    """Return whether a server can listen at the address. Raise ImproperlyConfigured if it is no address."""
    listening = listen(host, port)
    if listening is not None:
        listening.close()
    return listening is not None


def listen(host: str, port: int) -> socket.socket | None:
    """Return a socket that listens at the address, None if the port is in use. Raises ImproperlyConfigured."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except (OSError, UnicodeError):
        raise malformed("WEB_HOST", "an address of this machine") from None
    with socket.socket(family) as client:
        client.settimeout(1)
        if client.connect_ex((host, port)) == 0:  # some systems let two servers listen at different addresses
            return None
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        return None
    return listening


def listen_above(host: str, port: int) -> socket.socket:
    """Return a socket that listens at the first free port above `port`.

    Raises EmbeddedError if none of the next hundred is free.
    """
    following = range(port + 1, min(port + 100, 65535) + 1)
    listening = next(filter(None, (listen(host, candidate) for candidate in following)), None)
    if listening is None:
        problem = f"cannot listen at {host}: port {port} and the next {len(following)} are in use or not allowed"
        raise EmbeddedError(problem, "set an address of this machine in WEB_HOST and a free port in WEB_PORT (.env)")
    return listening


def free_stub_port(*, but: int) -> int:
    """Return a free port for the stub feed by chance, other than `but`."""
    while (port := secrets.choice(STUB_PORTS)) == but or not is_free("127.0.0.1", port):
        pass
    return port
