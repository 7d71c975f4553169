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
    """Return the address at which a process of this machine reaches the web server, from WEB_HOST."""
    host = parse_host("WEB_HOST", os.environ.get("WEB_HOST") or "127.0.0.1")
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not listened at


def site_address() -> str:
    """Return the address of the web server for a process of this machine."""
    host = web_host()
    return f"http://[{host}]:{web_port()}" if ":" in host else f"http://{host}:{web_port()}"


def settle_ports(env_file: Path) -> list[str]:
    """Choose free ports for the site and the stub feed, and store them. Return a message for each that was in use.

    A SITE_URL on this machine follows the port. Raises EmbeddedError if no port is free.
    """
    messages = []
    port = web_port()
    if not is_free(web_host(), port):
        port = next_free_port(web_host(), port)
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
    return messages


def is_free(host: str, port: int) -> bool:
    """Return whether a server can listen at the address. Raise ImproperlyConfigured if it is no address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError:
        raise malformed("WEB_HOST", "an address of this machine") from None
    with socket.socket(family) as client:
        client.settimeout(1)
        if client.connect_ex((host, port)) == 0:  # some systems let two servers listen at different addresses
            return False
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def next_free_port(host: str, port: int) -> int:
    """Return the first free port above `port`. Raises EmbeddedError if none of the next hundred is free."""
    following = range(port + 1, min(port + 100, 65535) + 1)
    free = next((candidate for candidate in following if is_free(host, candidate)), None)
    if free is None:
        problem = f"cannot listen at {host}: port {port} and the next {len(following)} are in use or not allowed"
        raise EmbeddedError(problem, "set an address of this machine in WEB_HOST and a free port in WEB_PORT (.env)")
    return free


def free_stub_port(*, but: int) -> int:
    """Return a free port for the stub feed by chance, other than `but`."""
    while (port := secrets.choice(STUB_PORTS)) == but or not is_free("127.0.0.1", port):
        pass
    return port
