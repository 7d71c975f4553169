"""Remove what the embedded servers keep outside var: `python -m config.embedded.clean`, for `make clean`."""

import os
import re
import shutil
import sys
import time
from pathlib import Path

from config.embedded.location import SYSTEM_HOME, VAR, EmbeddedError, location_of
from core.process.lifetime import open_lock, try_lock

PATIENCE_SECONDS = 5
MEMORY = Path("/dev/shm")  # noqa: S108 - the tests keep their databases in a folder of their own there


def main() -> None:
    for var in (VAR, VAR / "tests"):  # the tests have servers of their own
        if var.exists():
            _clean(var)
    if SYSTEM_HOME.exists() and not any(re.fullmatch("[0-9a-f]{12}", home.name) for home in SYSTEM_HOME.iterdir()):
        shutil.rmtree(SYSTEM_HOME, ignore_errors=True)  # no data is left there, only copies of the servers' programs


def _clean(var: Path) -> None:
    """Remove the folders that belong to `var`. End this process with one line if a process still uses them."""
    try:
        location = location_of(var)
    except EmbeddedError as error:
        sys.exit(f"slipway: {error}")
    users, run = open_lock(var / "users.lock"), open_lock(var / "run.lock")
    if not _is_unused(users, run):
        sys.exit("slipway: cannot clean up: the embedded servers are in use; stop what uses them, then do it again")
    for folder in (location.home, location.sockets, MEMORY / location.sockets.name):
        shutil.rmtree(folder, ignore_errors=True)
    os.close(users)


def _is_unused(users: int, run: int) -> bool:
    """Return whether both locks are free. A process that is just ending gets PATIENCE_SECONDS to end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (try_lock(users) and try_lock(run)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


if __name__ == "__main__":
    main()
