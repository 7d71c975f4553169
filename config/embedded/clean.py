"""Remove what the embedded servers keep outside the checkout: `python -m config.embedded.clean`, for `make clean`."""

import os
import shutil
import sys
import time
from pathlib import Path

from config.embedded.location import VAR, EmbeddedError, place_of
from core.process.lifetime import open_lock, try_lock

PATIENCE_SECONDS = 5
MEMORY = Path("/dev/shm")  # noqa: S108 - in which the tests have a folder of their own


def main() -> None:
    for var in (VAR, VAR / "tests"):  # the tests have servers of their own
        if var.exists():
            _clean(var)


def _clean(var: Path) -> None:
    try:
        place = place_of(var)
    except EmbeddedError as error:
        sys.exit(f"slipway: {error}")
    users, run = open_lock(var / "users.lock"), open_lock(var / "run.lock")
    if not _both_free(users, run):
        sys.exit("slipway: the embedded servers are in use; stop what uses them (make run), then run it again")
    for folder in (place.home, place.sockets, MEMORY / place.sockets.name):
        shutil.rmtree(folder, ignore_errors=True)
    os.close(users)


def _both_free(users: int, run: int) -> bool:
    """Whoever is just ending gets a moment for it."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not (try_lock(users) and try_lock(run)):
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True


if __name__ == "__main__":
    main()
