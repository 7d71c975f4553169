"""The home folder of an installation, which holds the file .env and the folder var. This module alone finds it.

A checkout is its own home. The code of an installed package is in a folder that an upgrade replaces, so its home is the
folder that SLIPWAY_HOME names, by default the current one.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

CODE = Path(__file__).resolve().parents[2]
IS_CHECKOUT = (CODE / "manage.py").exists()
PACKAGES = ("caching", "config", "core", "providers", "rollout", "validation")


def find_home() -> Path:
    """Return the home folder. End the process with one line if it cannot be used.

    A child process finds the same folder: it is started in it, and SLIPWAY_HOME is absolute.
    """
    if IS_CHECKOUT:  # SLIPWAY_HOME does not count: `make clean` must not remove the data of another installation
        return CODE
    named = os.environ.get("SLIPWAY_HOME", "")
    if named and not (os.path.isabs(named) and os.path.isdir(named)):
        _stop(f"SLIPWAY_HOME must be the absolute path of a folder (got {named}); make the folder, or correct the path")
    try:
        home = Path(named or os.getcwd()).resolve()
    except OSError as error:
        _stop(f"cannot find the current folder: {error.strerror}; change to another one, or set SLIPWAY_HOME")
    for name in PACKAGES:  # Python, gunicorn and Celery import from the current folder first
        if os.path.exists(home / name / "__init__.py"):
            problem = f"cannot use {home} as the home folder: its package {name} would hide Slipway's"
            _stop(f"{problem}; change to a folder of its own, or set SLIPWAY_HOME to one")
    return home


def _stop(line: str) -> NoReturn:
    """End the process from inside an import, because every process imports this module before it can catch an error."""
    sys.exit(f"slipway: {line}")


HOME = find_home()
EXAMPLE = ".env.example" if IS_CHECKOUT else str(Path(__file__).with_name(".env.example"))
HINT = f"see {EXAMPLE}" if IS_CHECKOUT else f"see {EXAMPLE} (the home folder is {HOME})"
