"""The wheel: built as CONTRIBUTING.md describes, installed outside of every checkout, and started there."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import django
import pytest

from tests.checkout import Running, copy_files, running
from tests.databases import ROOT
from tests.processes import ended

PACKAGES = ("caching/", "config/", "core/", "providers/", "rollout/", "validation/")
LOCKED = Path(django.__file__).parents[1]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose only commit holds the files of this checkout, changed ones too."""
    folder = tmp_path_factory.mktemp("repository")
    copy_files(folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    author = ["-c", "user.name=Tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgsign=false"]
    for arguments in (["init"], ["add", "."], [*author, "commit", "-m", "The files of this checkout"]):
        subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)
    return folder


def build(repository: Path) -> Path:
    """Build the wheel. `make` takes the virtual environment as it is."""
    command = ["make", "--assume-old", ".venv/test.done", "wheel"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [wheel] = (repository / "var" / "dist").iterdir()
    return wheel


@pytest.fixture(scope="module")
def wheel(repository: Path) -> Path:
    return build(repository)


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_it_holds_every_file_of_the_packages_and_nothing_else(wheel: Path, repository: Path) -> None:
    tracked = subprocess.check_output(["git", "-C", repository, "ls-files", *PACKAGES], text=True).splitlines()
    with ZipFile(wheel) as archive:
        packed = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert sorted(packed) == sorted(tracked)
        assert archive.read("config/processes/Procfile") == (ROOT / "Procfile").read_bytes()
        assert archive.read("config/environment/.env.example") == (ROOT / ".env.example").read_bytes()
    assert {Path(name).suffix for name in packed} >= {".css", ".html", ".js", ".json", ".py", ".svg"}


def test_it_depends_on_the_names_of_requirements_in(wheel: Path) -> None:
    required = metadata(wheel).get_all("Requires-Dist", [])
    of_extra = [line for line in required if 'extra == "otel"' in line]
    assert names_of([line for line in required if line not in of_extra]) == names_of(lines_of("requirements.in"))
    assert names_of(of_extra) == names_of(lines_of("requirements-otel.in"))
    assert metadata(wheel)["Requires-Python"] == ">=3.11"
    assert "virtual environment of its own" in str(metadata(wheel).get_payload())


def lines_of(file: str) -> list[str]:
    return [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[;<>]", requirement)[0].strip() for requirement in requirements}


def test_the_same_commit_gives_the_same_wheel(wheel: Path, repository: Path) -> None:
    first = wheel.read_bytes()
    assert build(repository).read_bytes() == first


@pytest.fixture(scope="module")
def site_packages(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed into: that of a new virtual environment that sees the locked packages."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    [folder] = environment.glob("lib/python*/site-packages")
    (folder / "locked.pth").write_text(f"{LOCKED}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    return folder


@pytest.fixture
def home(site_packages: Path, tmp_path: Path) -> Iterator[Running]:
    """An empty folder, in which `slipway run` starts everything."""
    with running(tmp_path, str(slipway(site_packages)), "run") as made:
        yield made


def slipway(site_packages: Path) -> Path:
    return site_packages.parents[2] / "bin" / "slipway"


def files(folder: Path) -> dict[str, int]:
    """Return when each file below the folder was last changed."""
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_it_runs_in_an_empty_folder_and_writes_nothing_beside_its_code(home: Running, site_packages: Path) -> None:
    def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": os.environ["PATH"], "HOME": str(home.path)}
        line = [str(slipway(site_packages)), *arguments]
        return subprocess.run(line, cwd=home.path, env=environment, capture_output=True, text=True)

    before = files(site_packages)
    assert command("validate").stderr.startswith("slipway: SECRET_KEY must be set; see ")
    run = home.start()
    assert "for a new password or token, run: slipway credentials" in home.ready(run)
    assert home.get("/readyz")["ready"]
    validated = json.loads(command("validate", "--suite", "exit", "--format", "json").stdout)
    assert validated["total"] == len(validated["checks"]) == 18
    assert validated["errors"] == 0, validated
    assert command("snapshot", "create", "--reason", "a test").returncode == 0
    rehearsed = command("rollback", "--level", "emergency", "--rehearse", "--json")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert json.loads(rehearsed.stdout)["outcome"] == "done", rehearsed.stdout

    run.send_signal(signal.SIGTERM)
    rest = run.communicate(timeout=60)[0]
    assert run.returncode == 0, rest
    assert all(ended(pid) for pid, _ in home.left()), home.left()
    assert {path.name for path in home.path.iterdir()} == {".env", "var"}
    assert files(site_packages) == before
