"""The site as production serves it: gunicorn on this process's database, with the static files of the pages."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from tests import databases
from tests.processes import free_port, until

GUNICORN = [str(Path(sys.executable).with_name("gunicorn")), "--config", "python:config.processes.gunicorn"]


def collect_static_files() -> None:
    """Collect the static files under their hashed names, as production does."""
    call_command("collectstatic", verbosity=0, interactive=False)


@contextmanager
def serve(log: Path) -> Iterator[str]:
    """Serve the site on the database of this process. Yield its address."""
    port = free_port()
    variables = {
        "DATABASE_URL": databases.address(str(connection.settings_dict["NAME"])),
        "REDIS_URL": settings.REDIS_URL,
        "SNAPSHOT_DIR": str(settings.SNAPSHOT_DIR),
        "WEB_PORT": str(port),
    }
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*GUNICORN, "config.wsgi"], cwd=databases.ROOT, env=os.environ | variables, stdout=output, stderr=output
        )
    address = f"http://127.0.0.1:{port}"
    try:
        assert until(lambda: _answers(address)), log.read_text()
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _answers(address: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{address}/healthz", timeout=5).status == 200)
    except (urllib.error.URLError, OSError):
        return False
