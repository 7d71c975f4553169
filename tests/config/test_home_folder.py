"""The home folder: the root of a checkout; for code that was installed elsewhere, SLIPWAY_HOME or the current one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import ROOT

SHOW = "from config.environment.home import HOME; print(HOME)"
START = "from config.startup import start; start()"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installed package: code without a checkout around it."""
    folder = tmp_path_factory.mktemp("code")
    for package in ("config", "core"):
        shutil.copytree(ROOT / package, folder / package)
    return folder


def run(program: str, code: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(code)} | environment
    command = [sys.executable, "-P", "-c", program]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def test_it_is_the_current_folder_or_the_one_that_slipway_home_names(code: Path, tmp_path: Path) -> None:
    here, named = tmp_path / "here", tmp_path / "named"
    here.mkdir()
    named.mkdir()
    assert run(SHOW, code, here).stdout == f"{here}\n"
    assert run(SHOW, code, here, SLIPWAY_HOME=str(named)).stdout == f"{named}\n"


def test_a_checkout_is_its_own_home(tmp_path: Path) -> None:
    assert run(SHOW, ROOT, tmp_path, SLIPWAY_HOME=str(tmp_path)).stdout == f"{ROOT}\n"


@pytest.mark.parametrize("named", ["state", "/nowhere/slipway", "/dev/null"])
def test_a_home_that_is_no_folder_is_one_line(code: Path, tmp_path: Path, named: str) -> None:
    done = run(SHOW, code, tmp_path, SLIPWAY_HOME=named)
    remedy = "make the folder, or correct the path"
    expected = f"slipway: SLIPWAY_HOME must be the absolute path of a folder (got {named}); {remedy}\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_a_current_folder_that_was_removed_is_one_line(code: Path, tmp_path: Path) -> None:
    done = run(f"import os; os.rmdir(os.getcwd())\n{SHOW}", code, tmp_path)
    problem = "cannot find the current folder: No such file or directory"
    assert done.stderr == f"slipway: {problem}; change to another one, or set SLIPWAY_HOME\n"


def test_a_home_whose_packages_would_be_imported_instead_is_one_line(code: Path, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    assert run(SHOW, code, tmp_path).returncode == 0, "a folder of other files hides nothing"
    (tmp_path / "config" / "__init__.py").touch()
    done = run(SHOW, code, tmp_path)
    problem = f"cannot use {tmp_path} as the home folder: its package config would hide Slipway's"
    assert done.stderr == f"slipway: {problem}; change to a folder of its own, or set SLIPWAY_HOME to one\n"


def test_a_command_in_a_folder_without_settings_leaves_it_empty(code: Path, tmp_path: Path) -> None:
    done = run(START, code, tmp_path)
    example = code / "config" / "environment" / ".env.example"
    assert done.stderr == f"slipway: SECRET_KEY must be set; see {example} (the home folder is {tmp_path})\n"
    assert list(tmp_path.iterdir()) == []
    assert "SECRET_KEY=" in example.read_text()
