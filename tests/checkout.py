"""Copies of this checkout, and what is started in them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from config.embedded.location import location_of
from tests.databases import ROOT
from tests.processes import ended, free_port, processes


def copy_files(to: Path, *without: str) -> None:
    """Copy the files that git tracks, and new ones that it does not ignore. `without`: how the paths left out begin."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, text=True)
    for name in listed.strip("\0").split("\0"):
        if (ROOT / name).exists() and not name.startswith(without):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name, follow_symlinks=False)


@dataclass
class Running:
    """A folder in which a command starts the whole of Slipway."""

    path: Path
    command: tuple[str, ...] = (sys.executable, "-m", "config.dev.run")
    port: int = field(default_factory=free_port)
    runs: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self) -> "subprocess.Popen[str]":
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        run = subprocess.Popen(
            self.command,
            cwd=self.path,
            env=kept | {"WEB_PORT": str(self.port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.runs.append(run)
        return run

    def ready(self, run: "subprocess.Popen[str]") -> str:
        """Wait until the site is up. Return the output until then."""
        assert run.stdout is not None
        output = ""
        for line in run.stdout:
            output += line
            if not line.strip() and "Slipway is ready" in output:
                return output
        raise AssertionError(output)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            return json.loads(response.read())

    def query(self, query: str) -> Any:
        sockets = str(location_of(self.path / "var").sockets)
        with psycopg.connect(host=sockets, user="slipway", dbname="slipway") as connection:
            return connection.execute(query).fetchall()

    def left(self) -> list[tuple[int, str]]:
        """Return every living process of this folder, including the servers and their watchdog."""
        folders = [str(self.path)]
        if (self.path / "var" / "id").exists():
            location = location_of(self.path / "var")
            folders += [str(location.home), str(location.sockets)]
        return list(processes(*folders))

    def pid_of(self, command: str) -> int:
        return next(pid for pid, line in self.left() if command in line)


@contextmanager
def running(path: Path, *command: str) -> Iterator[Running]:
    """Yield the folder with that command, by default the one of `make run`. Afterwards, end and remove what is left."""
    made = Running(path, command or Running.command)
    yield made
    for run in made.runs:
        run.terminate()
        if run.stdout and not run.stdout.closed:
            run.communicate(timeout=60)
        run.wait(60)
    for pid, _ in made.left():
        if not ended(pid, 20):
            os.kill(pid, signal.SIGKILL)
    if (path / "var" / "id").exists():
        shutil.rmtree(location_of(path / "var").home, ignore_errors=True)
