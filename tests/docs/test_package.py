"""The adapter of the documentation is added to a copy of the project, step by step, and its lines are stored."""

import json
import os
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from tests import databases
from tests.databases import ROOT
from tests.docs.blocks import blocks, titled
from tests.installation import served_by

GAME = {"id": "g1", "home": "Oslo", "away": "Bergen", "starts": "2026-11-30T19:00:00Z"}
BOARD = [GAME | {"prices": [{"team": "Oslo", "odds": -120}, {"team": "Bergen", "odds": 110}]}]


class Acme(BaseHTTPRequestHandler):
    """The upstream of the documented adapter."""

    def do_GET(self) -> None:
        is_known = self.path == "/boards/basketball" and self.headers["X-Api-Key"] == "a-key"
        body = json.dumps(BOARD if is_known else []).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project's files: those that git tracks, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def add_adapter(copy: Path) -> None:
    """Make the changes of the page in the copy."""
    adapter = titled("providers/adapters/acme.py")
    assert len([line for line in adapter.text.splitlines() if line.strip()]) <= 35
    (copy / adapter.title).write_text(adapter.text)
    choices, upstreams = copy / "providers/choices.py", copy / "providers/adapters/__init__.py"
    choices.write_text(choices.read_text().rstrip() + "\n" + titled("in class Adapter").text)
    text = upstreams.read_text().replace("import odds_api", "import acme, odds_api").rstrip()
    upstreams.write_text(text.removesuffix("}") + titled("in UPSTREAMS").text + "}\n")


def test_its_lines_are_stored(copy: Path) -> None:
    add_adapter(copy)
    [entry] = [json.loads(block.text) for block in blocks("json") if "catalogue" in block.title]
    state = {"provider_name": "acme", "sport": "NBA", "is_enabled": True}
    catalogue = {"sports": [{"code": "NBA", "name": "NBA"}], "providers": [entry | {"base_url": ""}], "states": [state]}
    (copy / "acme.json").write_text(json.dumps(catalogue))
    name = f"slipway_documented_{os.getpid()}"
    databases.execute("CREATE DATABASE {}", name)
    try:
        with served_by(Acme) as feed:
            environment = os.environ | {
                "STUB_FEED_URL": feed,
                "ACME_API_KEY": "a-key",
                "DATABASE_URL": databases.address(name),
            }
            environment |= {"REDIS_URL": settings.REDIS_URL, "REDIS_PREFIX": f"{settings.REDIS_PREFIX}acme:"}

            def manage(*args: str) -> str:
                command = [sys.executable, "manage.py", *args]
                done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                return done.stdout

            manage("makemigrations", "providers")
            manage("migrate")
            manage("backfill_providers", "--file", "acme.json")
            document = json.loads(manage("poll_providers", "--once", "--provider", "acme", "--json"))
            assert "acme" in str(document)
            lines = manage("shell", "-v", "0", "-c", LINES)
            assert lines.split() == ["Bergen", "110.0", "Oslo", "-120.0"]
    finally:
        connection.close()
        databases.drop(name)


LINES = """
from providers.models import PropLine
for line in PropLine.objects.order_by("side"):
    print(line.side, line.price)
"""
