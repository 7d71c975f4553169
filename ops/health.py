"""The health check of a container: `python -m ops.health` exits with 0 if the container's process answers.

The web process is asked for /healthz, a worker is pinged through Redis. Beat and commands answer no questions: they are
healthy as long as they run.
"""

import http.client
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from config.environment.env_file import load_env_file
from config.environment.variables import parse_port

TIMEOUT_SECONDS = 10


def main() -> int:
    load_env_file()
    command = Path("/proc/1/cmdline").read_text().split("\0")
    if "worker" in command:
        return ping(command[command.index("-n") + 1].replace("%h", socket.gethostname()))
    if "gunicorn" in command or "all-in-one" in command:
        return ask_site()
    return 0


def ping(worker: str) -> int:
    """Return 0 if the worker answers."""
    inspect = [sys.executable, "-m", "celery", "-A", "config.celery", "inspect", "ping", "--destination", worker]
    return subprocess.call([*inspect, "--timeout", str(TIMEOUT_SECONDS)])


def ask_site() -> int:
    """Return 0 if the site answers /healthz with 200. The request names SITE_URL's host, which the site accepts."""
    port = parse_port("WEB_PORT", os.environ.get("WEB_PORT") or "8000")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        host = urlsplit(os.environ.get("SITE_URL", "")).netloc or "127.0.0.1"
        connection.request("GET", "/healthz", headers={"Host": host})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"port {port} does not answer: {error}")
        return 1
    print(f"/healthz answers {status}")
    return int(status != 200)


if __name__ == "__main__":
    sys.exit(main())
