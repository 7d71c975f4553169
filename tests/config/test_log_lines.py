"""Every line that a process of the Procfile writes is JSON if its output is no terminal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from django.conf import settings
from django.db import connection
from honcho.environ import parse_procfile

from tests import databases
from tests.processes import free_port, processes, until

COMMANDS = parse_procfile((databases.ROOT / "Procfile").read_text()).processes


@dataclass
class Started:
    """A running process of the Procfile, and the file that its output goes to."""

    process: "subprocess.Popen[bytes]"
    output: Path

    def entries(self) -> list[dict[str, Any]]:
        """Return the log entries up to now. Fails if a line is not JSON."""
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def has_logged(self, text: str) -> bool:
        return until(lambda: text in self.output.read_text(), 60)

    def stop(self) -> list[dict[str, Any]]:
        """End the process with SIGTERM. Return all its entries."""
        self.process.terminate()
        self.process.wait(60)
        return self.entries()


@contextmanager
def started(name: str, folder: Path, **environment: str) -> Iterator[Started]:
    """Run a command of the Procfile in the environment of the tests, with these changes."""
    command = COMMANDS[name].replace("exec python", f"exec {sys.executable}")
    output = folder / f"{name}.log"
    changes = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["sh", "-c", command], cwd=databases.ROOT, env=os.environ | changes, stdout=file, stderr=file
        )
    try:
        yield Started(process, output)
    finally:
        process.kill()
        process.wait()


def assert_complete(entries: list[dict[str, Any]]) -> None:
    assert entries
    assert all({"timestamp", "level", "event", "logger"} <= entry.keys() for entry in entries), entries


def events(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["event"] for entry in entries]


@pytest.fixture
def environment(installation: None) -> dict[str, str]:
    return {
        "DATABASE_URL": databases.address(str(connection.settings_dict["NAME"])),
        "REDIS_URL": settings.REDIS_URL,
        "WEB_PORT": str(free_port()),
        "STUB_FEED_URL": f"http://127.0.0.1:{free_port()}",
    }


def test_the_site_writes_json_from_its_start_to_its_end(environment: dict[str, str], tmp_path: Path) -> None:
    with started("web", tmp_path, **environment) as web:
        assert web.has_logged("Booting worker")
        with urlopen(f"http://127.0.0.1:{environment['WEB_PORT']}/healthz", timeout=30) as answer:
            assert answer.status == 200
        assert web.has_logged("request_finished")
        workers = [pid for pid, _ in processes("gunicorn config.wsgi") if parent_of(pid) == web.process.pid]
        os.kill(workers[0], signal.SIGKILL)
        assert web.has_logged("SIGKILL")
        entries = web.stop()
    assert_complete(entries)
    assert "Handling signal: term" in events(entries)
    [request] = [entry for entry in entries if entry["event"] == "request_finished"]
    assert request["status"] == 200


def parent_of(pid: int) -> int:
    return psutil.Process(pid).ppid()


@pytest.mark.parametrize(
    ("name", "ready"),
    [
        ("worker", "the worker is ready"),
        ("slow", "the worker is ready"),
        ("beat", "beat is ready"),
        ("stub", "Running on"),
    ],
)
def test_each_other_process_writes_json_from_its_start_to_its_end(
    name: str, ready: str, environment: dict[str, str], tmp_path: Path
) -> None:
    with started(name, tmp_path, **environment) as running:
        assert running.has_logged(ready)
        entries = running.stop()
    assert_complete(entries)
    if name in ("worker", "slow"):
        assert "worker: Warm shutdown (MainProcess)" in events(entries)


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_a_lost_broker_is_json_without_its_password(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    environment["REDIS_URL"] = f"redis://:hunter22@127.0.0.1:{free_port()}/0"
    with started(name, tmp_path, **environment) as running:
        assert running.has_logged("rror")
        entries = running.entries()
    assert_complete(entries)
    assert "hunter22" not in running.output.read_text()


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_a_wrong_setting_is_one_entry(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path, SITE_URL="nowhere") as failed:
        assert failed.process.wait(60) != 0
    [entry] = failed.entries()
    assert_complete([entry])
    assert entry["event"] == "cannot start: SITE_URL must be http(s)://host[:port]; see .env.example"


def test_warnings_and_uncaught_exceptions_are_entries() -> None:
    code = (
        "from config.startup import start; start(is_service=True); import threading, warnings, logging;"
        "warnings.warn('a warning');"
        "thread = threading.Thread(target=lambda: int('in a thread'), name='worker'); thread.start(); thread.join();"
        "logging.getLogger('x').error('%d', 'no number');"
        "int('in the process')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], cwd=databases.ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    assert_complete(entries)
    warning, in_thread, unwritten, uncaught = entries
    assert "a warning" in warning["event"]
    assert in_thread["thread"] == "worker"
    assert "in a thread" in in_thread["exception"]
    assert unwritten["event"].startswith("cannot write a log entry: ")
    assert "in the process" in uncaught["exception"]
