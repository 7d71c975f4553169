"""`make run` as a whole: started in a checkout of its own, asked over HTTP, killed, and started again."""

import os
import re
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.dev.checkout import make_env_file, settle_ports
from config.environment.env_file import read_settings, store_setting
from tests.checkout import Running, copy_files, running
from tests.databases import ROOT
from tests.processes import ended, free_port, until


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Running]:
    """A checkout in which nothing ever ran."""
    copy_files(tmp_path, "tests/", "docs/", "bench/")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    with running(tmp_path) as made:
        yield made


def test_it_runs_stops_survives_kills_and_runs_again(checkout: Running) -> None:
    """All steps share one checkout, because each start takes several seconds."""
    it_runs_polls_and_stops(checkout)
    run = it_runs_again(checkout)
    for victim in ("-m config.dev.run", "gunicorn", "config.embedded.watchdog"):
        run = killing_a_part_leaves_nothing_and_it_runs_again(checkout, run, victim)
    it_ends_when_its_output_is_closed(checkout, run)


def it_runs_polls_and_stops(checkout: Running) -> None:
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


def it_runs_again(checkout: Running) -> "subprocess.Popen[str]":
    run = checkout.start()
    output = checkout.ready(run)
    assert "password" not in output
    assert "API token" not in output
    assert checkout.query("SELECT count(*), max(id) FROM provider_states") == [(28, 28)]
    return run


def killing_a_part_leaves_nothing_and_it_runs_again(
    checkout: Running, run: "subprocess.Popen[str]", victim: str
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


def it_ends_when_its_output_is_closed(checkout: Running, run: "subprocess.Popen[str]") -> None:
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
        site, messages = settle_ports(env_file)
        stored = read_settings(env_file)
        port = int(stored["WEB_PORT"])
        assert port > taken
        assert stored["SITE_URL"] == os.environ["SITE_URL"] == f"http://127.0.0.1:{port}"
        assert stored["STUB_FEED_URL"] == os.environ["STUB_FEED_URL"] != f"http://127.0.0.1:{stub}"
    assert len(messages) == 2
    assert messages[0].startswith(f"port {taken} is in use, so the site is at port {port}")
    assert env_file.stat().st_mode & 0o777 == 0o600
    site.close()
    site, messages = settle_ports(env_file)
    site.close()
    assert (messages, read_settings(env_file)) == ([], stored)


def test_two_folders_that_start_together_get_two_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = free_port()
    sockets = []
    for name in ("one.env", "two.env"):
        (tmp_path / name).write_text("")
        monkeypatch.setenv("WEB_PORT", str(wanted))
        monkeypatch.setenv("SITE_URL", "")
        monkeypatch.setenv("STUB_FEED_URL", "")
        sockets.append(settle_ports(tmp_path / name)[0])  # neither of them serves yet
    ports = [site.getsockname()[1] for site in sockets]
    for site in sockets:
        site.close()
    assert ports[0] == wanted
    assert ports[1] > wanted


def test_a_public_address_does_not_follow_the_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("SITE_URL=https://slipway.example.com\n")
    monkeypatch.setenv("SITE_URL", "https://slipway.example.com")
    monkeypatch.setenv("STUB_FEED_URL", "")
    monkeypatch.setenv("WEB_PORT", str(free_port()))
    site, messages = settle_ports(env_file)
    site.close()
    assert messages == []
    assert read_settings(env_file) == {"SITE_URL": "https://slipway.example.com", "WEB_PORT": os.environ["WEB_PORT"]}


def test_an_address_of_another_machine_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_HOST", "127.0.0.1.example")
    with pytest.raises(ImproperlyConfigured, match="WEB_HOST must be an address of this machine"):
        settle_ports(tmp_path / ".env")


def test_an_env_file_that_is_a_link_stays_one(checkout: Running) -> None:
    linked, link = checkout.path / "volume.env", checkout.path / ".env"
    linked.write_text("WEB_PORT=8000\n")
    link.symlink_to(linked.name)
    change = "from config.environment.env_file import store_setting; store_setting('WEB_PORT', '8001')"
    subprocess.run([sys.executable, "-c", change], cwd=checkout.path, check=True)
    assert link.is_symlink()
    assert linked.read_text() == "WEB_PORT=8001\n"


def install(checkout: Running, *, python: str = sys.executable, **environment: str) -> Callable[[], str]:
    command = [python, str(checkout.path / "config" / "dev" / "install.py"), "requirements.txt"]

    def run() -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
        assert done.returncode != 0
        return done.stderr

    return run


def test_a_wrong_python_is_one_line(checkout: Running) -> None:
    script = checkout.path / "config" / "dev" / "install.py"
    script.write_text(script.read_text().replace("OLDEST = (3, 11)", "OLDEST = (3, 99)"))
    expected = r"slipway: Python must be 3\.11 or newer \(got 3\.\d+\); install one \(for example with: uv python .*\n"
    assert re.fullmatch(expected, install(checkout)())


def test_a_missing_network_is_one_line(checkout: Running) -> None:
    (checkout.path / ".venv").unlink()
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}
    output = install(checkout, **nowhere)()
    assert output.count("\n") == 1
    assert output.startswith("slipway: cannot install the dependencies; check the network")
    assert (checkout.path / ".venv" / "install.log").exists()


def test_an_environment_whose_python_was_removed_is_made_again(checkout: Running) -> None:
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


def test_an_installation_that_was_interrupted_is_made_again(checkout: Running) -> None:
    (checkout.path / ".venv").unlink()
    venv.create(checkout.path / ".venv", with_pip=False, symlinks=True)
    (checkout.path / "requirements.txt").write_text("")
    command = [sys.executable, str(checkout.path / "config" / "dev" / "install.py"), "requirements.txt"]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_an_indented_line_is_a_setting_and_no_secret_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ".env"
    file.write_text('  SECRET_KEY=a-secret\n\texport API_TOKENS="a:1,b:2"\n')
    assert read_settings(file) == {"SECRET_KEY": "a-secret", "API_TOKENS": "a:1,b:2"}
    monkeypatch.setenv("SECRET_KEY", "x")
    store_setting("SECRET_KEY", "new", file)
    assert file.read_text() == '  SECRET_KEY=new\n\texport API_TOKENS="a:1,b:2"\n'
    assert "a-secret" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("name", "value"),
    [("WEB_HOST", "a..b"), ("WEB_HOST", "x" * 70), ("WEB_PORT", "1" * 5000), ("WEB_PORT", "0"), ("WEB_HOST", "a b")],
)
def test_a_malformed_address_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=f"^{name} must be "):
        settle_ports(tmp_path / ".env")


def test_an_unwritable_folder_is_one_line(checkout: Running) -> None:
    (checkout.path / ".venv").unlink()
    (checkout.path / ".venv").write_text("in the way")
    output = install(checkout)()
    assert output.startswith("slipway: cannot write to")
    assert output.count("\n") == 1
