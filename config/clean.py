"""Remove what the embedded servers keep outside the checkout: `python -m config.clean`, for `make clean`."""

import os
import shutil
import sys

from config.place import VAR, EmbeddedError, place_of
from config.processes import open_lock, try_lock


def main() -> None:
    if not VAR.exists():
        return
    try:
        place = place_of()
    except EmbeddedError as error:
        sys.exit(f"slipway: {error}")
    users, run = open_lock(VAR / "users.lock"), open_lock(VAR / "run.lock")
    if not try_lock(users) or not try_lock(run):
        sys.exit("slipway: the embedded servers are in use; stop what uses them (make run), then run it again")
    shutil.rmtree(place.home, ignore_errors=True)
    shutil.rmtree(place.sockets, ignore_errors=True)
    os.close(users)


if __name__ == "__main__":
    main()
