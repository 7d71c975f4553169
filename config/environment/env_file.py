"""The file .env in the home folder, which holds the settings that the environment does not set."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import environ
from django.core.exceptions import ImproperlyConfigured

from config.environment.home import HINT, HOME

# If .env is a symbolic link, the file that it points to is read and written: a container keeps it on a volume.
ENV_FILE = (HOME / ".env").resolve()


def load_env_file() -> None:
    """Load from .env the variables that the environment does not set. Tests use the environment alone."""
    if "PYTEST_VERSION" not in os.environ:
        environ.Env.read_env(io.StringIO(_read()))


def read_settings(path: Path = ENV_FILE) -> dict[str, str]:
    """Return the variables that the file sets; none if there is no file."""

    class File(environ.Env):
        ENVIRON: ClassVar[dict[str, str]] = {}

    File.read_env(io.StringIO(_read(path)))
    return File.ENVIRON


def _read(path: Path = ENV_FILE) -> str:
    """Return the lines of the file without indents, which django-environ would print as invalid, with their secrets.

    Raises ImproperlyConfigured if the file cannot be read, or for a line that is no setting.
    """
    if not path.exists():
        return ""
    try:
        lines = [line.strip() for line in path.read_text().split("\n")]
    except (OSError, UnicodeDecodeError):
        raise ImproperlyConfigured(f"cannot read {path}; make it readable UTF-8, or remove it") from None
    for number, line in enumerate(lines, 1):
        if line and not re.match(r"#|(export )?\w+=", line):
            # The message names the line by its number, because the line may hold a secret.
            raise ImproperlyConfigured(f"line {number} of {path} must be NAME=value; {HINT}")
    return "\n".join(lines)


def store_setting(name: str, value: str, path: Path = ENV_FILE) -> None:
    """Set the variable in the file for later processes, and in the environment of this one and its children.

    Raises ImproperlyConfigured if the file cannot be written.
    """
    os.environ[name] = value
    text = path.read_text()
    changed, count = re.subn(
        rf"^([ \t]*(?:export )?{name}=).*$", lambda line: str(line[1]) + value, text, flags=re.MULTILINE
    )
    if not count:
        changed = f"{text.rstrip()}\n{name}={value}\n"
    if changed != text:
        with private_draft(path, changed) as draft:
            os.replace(draft, path)


@contextmanager
def private_draft(path: Path, text: str) -> Iterator[Path]:
    """Write a file of mode 0600 beside `path`, and remove it after the block. Raise ImproperlyConfigured on failure."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            if path.exists():  # a command that root runs must not take the file from the services' user
                os.fchown(file.fileno(), path.stat().st_uid, path.stat().st_gid)
            file.write(text)
        yield draft
    except OSError as error:
        remedy = f"make {path.parent} writable, and check its free space: df -h {path.parent}"
        raise ImproperlyConfigured(f"cannot write {path}: {error.strerror}; {remedy}") from error
    finally:
        draft.unlink(missing_ok=True)
