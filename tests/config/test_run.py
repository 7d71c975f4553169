"""`make run` as a whole: started in a checkout of its own, asked over HTTP, killed, and started again."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

from config.dev.checkout import make_env_file, settle_ports
from config.embedded.location import location_of
from config.environment.env_file import read_settings
from tests.processes import ended, free_port, processes, until

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Checkout:
    path: Path
    port: int = field(default_factory=free_port)
    runs: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self) -> "subprocess.Popen[str]":
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        run = subprocess.Popen(
            [sys.executable, "-m", "config.dev.run"],
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
        """Return every living process of this checkout, including the servers and their watchdog."""
        folders = [str(self.path)]
        if (self.path / "var" / "id").exists():
            location = location_of(self.path / "var")
            folders += [str(location.home), str(location.sockets)]
        return list(processes(*folders))

    def pid_of(self, command: str) -> int:
        return next(pid for pid, line in self.left() if command in line)


@contextmanager
def made_in(tmp_path: Path) -> Iterator[Checkout]:
    tracked = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, text=True)
    for name in tracked.strip("\0").split("\0"):
        if (ROOT / name).exists() and not name.startswith(("tests/", "docs/", "bench/")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    made = Checkout(tmp_path)
    yield made
    for run in made.runs:
        run.terminate()
        if run.stdout and not run.stdout.closed:
            run.communicate(timeout=60)
        run.wait(60)
    for pid, _ in made.left():
        if not ended(pid, 20):
            os.kill(pid, signal.SIGKILL)
    if (tmp_path / "var" / "id").exists():
        shutil.rmtree(location_of(tmp_path / "var").home, ignore_errors=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout in which nothing ever ran."""
    with made_in(tmp_path) as made:
        yield made


def test_it_runs_stops_survives_kills_and_runs_again(checkout: Checkout) -> None:
    """All steps share one checkout, because each start takes several seconds."""
    it_runs_polls_and_stops(checkout)
    run = it_runs_again(checkout)
    for victim in ("-m config.dev.run", "gunicorn", "config.embedded.watchdog"):
        run = killing_a_part_leaves_nothing_and_it_runs_again(checkout, run, victim)
    it_ends_when_its_output_is_closed(checkout, run)


def it_runs_polls_and_stops(checkout: Checkout) -> None:
    first = checkout.start()
    output = checkout.ready(first)
    assert f"http://127.0.0.1:{checkout.port}/admin/" in output
    assert re.search(r"Admin user: admin   password: \S{16}", output)
    assert re.search(r"^API token: \S{32}$", output, re.MULTILINE)
    assert (checkout.path / ".env").stat().st_mode & 0o777 == 0o600
    assert checkout.get("/readyz")["ready"]
    stored = "SELECT count(*) FROM provider_states WHERE provider_name = 'stub' AND last_prop_count > 0"
    assert until(lambda: checkout.query(stored) == [(4,)])
    second = checkout.start()
    assert "already runs in this folder" in second.communicate(timeout=30)[0]
    assert second.returncode != 0

    first.send_signal(signal.SIGTERM)
    rest = first.communicate(timeout=30)[0]
    assert first.returncode == 0, rest
    assert all(ended(pid) for pid, _ in checkout.left()), checkout.left()


def it_runs_again(checkout: Checkout) -> "subprocess.Popen[str]":
    run = checkout.start()
    output = checkout.ready(run)
    assert "password" not in output
    assert "API token" not in output
    assert checkout.query("SELECT count(*), max(id) FROM provider_states") == [(28, 28)]
    return run


def killing_a_part_leaves_nothing_and_it_runs_again(
    checkout: Checkout, run: "subprocess.Popen[str]", victim: str
) -> "subprocess.Popen[str]":
    os.kill(checkout.pid_of(victim), signal.SIGKILL)
    if victim == "config.embedded.watchdog":  # the servers end with it, and the site waits for them until it is stopped
        run.send_signal(signal.SIGTERM)
    run.communicate(timeout=60)
    assert all(ended(pid) for pid, _ in checkout.left()), (victim, checkout.left())
    again = checkout.start()
    checkout.ready(again)
    assert checkout.get("/readyz")["database"] == "ok"
    return again


def it_ends_when_its_output_is_closed(checkout: Checkout, run: "subprocess.Popen[str]") -> None:
    assert run.stdout is not None
    run.stdout.close()
    run.terminate()
    assert run.wait(60) != 0
    assert all(ended(pid) for pid, _ in checkout.left()), checkout.left()


@pytest.mark.parametrize(("argument", "code", "part"), [("--help", 0, "Example: slipway run"), ("--all", 2, "--all")])
def test_the_command_run_has_a_help_and_no_other_arguments(argument: str, code: int, part: str) -> None:
    done = subprocess.run([sys.executable, "manage.py", "run", argument], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code
    assert part in (done.stdout if code == 0 else done.stderr)


@contextmanager
def listening(port: int = 0) -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_in_use_is_replaced_by_the_next_free_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    for name in ("WEB_PORT", "SITE_URL", "STUB_FEED_URL", "WEB_HOST"):
        monkeypatch.setenv(name, "")
    with listening() as taken, listening() as stub:
        monkeypatch.setenv("WEB_PORT", str(taken))
        assert make_env_file(env_file)
        assert read_settings(env_file)["SITE_URL"] == f"http://127.0.0.1:{taken}"
        monkeypatch.setenv("SITE_URL", f"http://127.0.0.1:{taken}")
        monkeypatch.setenv("STUB_FEED_URL", f"http://127.0.0.1:{stub}")
        messages = settle_ports(env_file)
        stored = read_settings(env_file)
        port = int(stored["WEB_PORT"])
        assert port > taken
        assert stored["SITE_URL"] == os.environ["SITE_URL"] == f"http://127.0.0.1:{port}"
        assert stored["STUB_FEED_URL"] == os.environ["STUB_FEED_URL"] != f"http://127.0.0.1:{stub}"
    assert len(messages) == 2
    assert messages[0].startswith(f"port {taken} is in use, so the site is at port {port}")
    assert env_file.stat().st_mode & 0o777 == 0o600
    assert settle_ports(env_file) == []
    assert read_settings(env_file) == stored


def test_a_public_address_does_not_follow_the_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("SITE_URL=https://slipway.example.com\n")
    monkeypatch.setenv("SITE_URL", "https://slipway.example.com")
    monkeypatch.setenv("STUB_FEED_URL", "")
    monkeypatch.setenv("WEB_PORT", str(free_port()))
    assert settle_ports(env_file) == []
    assert read_settings(env_file) == {"SITE_URL": "https://slipway.example.com", "WEB_PORT": os.environ["WEB_PORT"]}


def test_an_address_of_another_machine_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_HOST", "127.0.0.1.example")
    with pytest.raises(ImproperlyConfigured, match="WEB_HOST must be an address of this machine"):
        settle_ports(tmp_path / ".env")


def test_an_env_file_that_is_a_link_stays_one(checkout: Checkout) -> None:
    linked, link = checkout.path / "volume.env", checkout.path / ".env"
    linked.write_text("WEB_PORT=8000\n")
    link.symlink_to(linked.name)
    change = "from config.environment.env_file import store_setting; store_setting('WEB_PORT', '8001')"
    subprocess.run([sys.executable, "-c", change], cwd=checkout.path, check=True)
    assert link.is_symlink()
    assert linked.read_text() == "WEB_PORT=8001\n"


def install(checkout: Checkout, *, python: str = sys.executable, **environment: str) -> Callable[[], str]:
    command = [python, str(checkout.path / "config" / "dev" / "install.py"), "requirements.txt"]

    def run() -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
        assert done.returncode != 0
        return done.stderr

    return run


def test_a_wrong_python_is_one_line(checkout: Checkout) -> None:
    script = checkout.path / "config" / "dev" / "install.py"
    script.write_text(script.read_text().replace("OLDEST = (3, 11)", "OLDEST = (3, 99)"))
    expected = r"slipway: Python must be 3\.11 or newer \(got 3\.\d+\); install one \(for example with: uv python .*\n"
    assert re.fullmatch(expected, install(checkout)())


def test_a_missing_network_is_one_line(checkout: Checkout) -> None:
    (checkout.path / ".venv").unlink()
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}
    output = install(checkout, **nowhere)()
    assert output.count("\n") == 1
    assert output.startswith("slipway: cannot install the dependencies; check the network")
    assert (checkout.path / ".venv" / "install.log").exists()


def test_an_environment_whose_python_was_removed_is_made_again(checkout: Checkout) -> None:
    """`make` finds that out, with the stamps of the installation in place."""
    (checkout.path / ".venv").unlink()
    python = checkout.path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/usr/bin/python3.no-longer-there")
    (checkout.path / ".venv" / "run.done").touch()
    (checkout.path / "requirements.txt").write_text("")
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}", ".venv/run.done"], cwd=checkout.path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert subprocess.run([python, "-c", ""]).returncode == 0


def test_an_unwritable_folder_is_one_line(checkout: Checkout) -> None:
    (checkout.path / ".venv").unlink()
    (checkout.path / ".venv").write_text("in the way")
    output = install(checkout)()
    assert output.startswith("slipway: cannot write to")
    assert output.count("\n") == 1
